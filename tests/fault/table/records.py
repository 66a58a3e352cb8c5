# SPDX-License-Identifier: MIT
"""What a case came to, read from what its program printed and how it ended.

A record is a dictionary.  Of a case of ours: case, python, title, must, saw, verdict, why,
answer_ms, replaced_ms, end_ms, left.  Of one of a peer's: case, must, saw, verdict, why,
word, note, answer_ms, left.
"""
import signal

VERDICTS = ('ok', 'hang', 'wrong', 'skip')
STATUS = {'ok': 0, 'skip': 77}   # of a program of ours; of all others 1
PARTS = ('task', 'others', 'after', 'end')
LATE_MS = 5000   # no answer
NOTHING = ('', '0', '-', 'no', 'none', 'nothing')


def lines(text):
    """{key: value}; whatever else was printed is passed over."""
    found = {}
    for line in text.splitlines():
        key, equals, value = line.partition('=')
        if equals and key.isidentifier():
            found[key] = value.strip()
    return found


def ending(run):
    """How a program ended that did not say how its case did; '' if as it should."""
    if run['hung']:
        return 'no end within its limit'
    if run['status'] < 0:
        try:
            return 'ended by ' + signal.Signals(-run['status']).name
        except ValueError:
            return 'ended by signal %d' % -run['status']
    return 'exit status %d' % run['status'] if run['status'] else ''


def last_words(run):
    words = [line.strip() for line in run['err'].splitlines() if line.strip()]
    return words[-1][:200] if words else ''


def fault_of(record, run):
    """What is wrong with a program of ours itself: (verdict, why), or None."""
    verdict = record.get('verdict')
    if run['hung']:
        return 'hang', ending(run)
    if run['status'] < 0:
        return 'wrong', ending(run)
    if verdict not in VERDICTS:
        return 'wrong', 'its program says no verdict' + (
            ', ' + ending(run) if run['status'] else '')
    if run['status'] != STATUS.get(verdict, 1):
        return 'wrong', 'its program says %s, but its exit status is %d' % (verdict,
                                                                         run['status'])
    return None


def judge_ours(name, run):
    """The record of a case of ours.  A program that hangs, dies, says nothing or leaves
    something behind is never ok, whatever it says."""
    record = {'title': name, 'python': '', 'saw': '', 'why': '', **lines(run['out'])}
    record['case'] = record.get('case') or name
    fault = fault_of(record, run)
    if fault:
        record['verdict'], record['why'] = fault
    if fault or not record['why'] and record['verdict'] != 'ok':
        record['why'] = ': '.join(filter(None, (record['why'], last_words(run))))
    seen = [] if record.get('left', '') in NOTHING else [record['left']]
    if run['left']:
        seen.append('%d process%s (%s)' % (len(run['left']), 'es' if run['left'][1:] else '',
                                          ', '.join(name[:40] for name in run['left'])))
    seen += ['/dev/shm/' + file for file in run['files']]
    record['left'] = ', '.join(seen)
    if seen and record['verdict'] == 'ok':
        record.update(verdict='wrong', why='left behind: ' + record['left'])
    return record


# ---- The peers


def complete(record, run):
    """The four parts; the first that is missing is where a program that was ended hung."""
    parts, state = [], 'H' if run['hung'] else '-'
    for part in PARTS:
        parts.append(record.get(part, state))
        if part not in record:
            state = '-'
    return parts


def fits(parts, must):
    return '/'.join(parts) in must.split('|')


def word_for(parts, must, left, answer_ms):
    """What a peer came to, in a word of the legend."""
    if 'H' in parts:
        return 'hang'
    if not fits(parts, must):
        wanted = must.split('|')[0].split('/')
        breaks = any(part == 'E' != want for part, want in zip(parts[1:3], wanted[1:3]))
        return 'breaks' if breaks else 'wrong'
    return 'left' if left else 'late' if answer_ms > LATE_MS else 'ok'


def judge_peer(name, run):
    """The record of a case of a peer's."""
    record = {'must': '', 'why': '', 'note': '', **lines(run['out'])}
    record['case'] = name
    parts = complete(record, run)
    record['left'] = int(record.get('left', 0)) + len(run['left'])
    died = not run['hung'] and (run['status'] != 0 or any(p not in record for p in PARTS))
    if 'skip' in record:
        record.update(word='skip', verdict='skip', why=record['skip'], saw='')
        return record
    record['saw'] = '/'.join(parts)
    if died:
        record.update(word='ended', why='the client ended: %s; %s' % (
            ending(run) or 'exit status 0', last_words(run)))
    word = record.setdefault('word', word_for(
        parts, record['must'], record['left'], float(record.get('answer_ms', 0))))
    record['verdict'] = word if word in ('ok', 'hang') else 'wrong'
    return record
