# SPDX-License-Identifier: MIT
"""The table of faults for the terminal, for documents and for programs.

Results are {'machine', 'versions': {library: version}, 'ours': records, 'peers': records},
with the records of records.py.
"""
import collections
import csv
import io
import os
import platform
import textwrap

BEGIN, END = '<!-- faults: begin -->', '<!-- faults: end -->'
NAMES = {'futures': 'concurrent.futures', 'mp.Pool': 'multiprocessing.Pool'}
HEADS = {'futures': 'cf', 'mp.Pool': 'mp', 'billiard': 'bill.'}   # six letters
LETTERS = {'ok': '.', 'E': 'E', 'H': 'H', '-': '-'}
LEGEND = '''\
answer: from the fault to the answer at the caller; new: from the death of a worker to the
first task of the one in its place; both in ms.  left: processes, files and the like.'''
PEERS_LEGEND = '''\
Python's pools, four letters: the task with the fault, 20 others, one that comes later, and
terminating the pool.  . as without the fault, E an error, H hangs, - not asked; +N: that many
workers are left.  ended: the client was ended.  owned: the worker's code ran in the client.'''


def machine():
    kernel = '.'.join(platform.release().split('.')[:2])
    return '%s %s, %s, %d CPUs' % (platform.system(), kernel, platform.machine(),
                                   len(os.sched_getaffinity(0)))


def all_right(results):
    """Whether each case of ours is as it must be; none at all is not."""
    ours = results['ours']
    return bool(ours) and all(record['verdict'] in ('ok', 'skip') for record in ours)


def in_order(ours):
    """First those that the peers are put through, too."""
    return sorted(ours, key=lambda record: (record['python'] or 'none', record['case']))


def merged(old, new):
    """The old results, in which the new ones have taken the places of theirs."""
    cases = {record['case'] for record in new['ours']}
    asked = set(peer_records(new))
    return {**new, 'versions': {**old['versions'], **new['versions']},
            'ours': in_order([record for record in old['ours'] if record['case'] not in cases]
                             + new['ours']),
            'peers': [record for pair, record in peer_records(old).items()
                      if pair not in asked] + new['peers']}


def peer_records(results):
    """{(case, library): record}"""
    return {(record['case'], record['library']): record for record in results['peers']}


def ms(text):
    try:
        value = float(text)
    except (TypeError, ValueError):
        return '-'
    return '%.*f' % (2 if value < 1 else 1 if value < 100 else 0, value)


def plural(count, thing):
    return '%d %s%s' % (count, thing, '' if count == 1 else 's')


# ---- The summary


def longest(records, key):
    """'1.2 ms in the middle; 30 ms (title), ...' of all that took a time; '' without any."""
    timed = sorted((float(record[key]), record['title']) for record in records
                   if ms(record.get(key)) != '-')
    if not timed:
        return ''
    return '%s ms in the middle; at worst %s' % (ms(timed[len(timed) // 2][0]), ', '.join(
        '%s ms (%s)' % (ms(value), title) for value, title in reversed(timed[-3:])))


def summary(results):
    """Lines."""
    ours = results['ours']
    count = collections.Counter(record['verdict'] for record in ours)
    lines = ['procpool: %s: %d answered as they must, %d hang, %d wrong, %d skipped' % (
        plural(len(ours), 'case'), count['ok'], count['hang'], count['wrong'], count['skip'])]
    lines += ['%s: %s' % (words, longest(ours, key)) for key, words in (
        ('answer_ms', 'answers'), ('replaced_ms', 'new workers'), ('end_ms', 'ends of pools'))
              if longest(ours, key)]
    left = [record['title'] for record in ours if record['left']]
    lines.append('left behind: ' + ('in ' + ', '.join(left) if left else 'nothing'))
    lines += ['skipped: %s: %s' % (record['title'], record['why'])
              for record in ours if record['verdict'] == 'skip']
    return lines


def peer_summary(results):
    """A line per library."""
    lines = []
    for library, version in results['versions'].items():
        words = collections.Counter(record['word'] for record in results['peers']
                                    if record['library'] == library)
        lines.append('%s (%s): %s: %s' % (
            NAMES.get(library, library), version, plural(sum(words.values()), 'case'),
            ', '.join('%d %s' % (words[word], word) for word in sorted(words))))
    return lines


# ---- For the terminal


def letters(record):
    """A peer's cell in six letters or so."""
    if record is None:
        return ''
    if record['word'] in ('ended', 'owned', 'skip'):
        return record['word']
    return ''.join(LETTERS[part] for part in record['saw'].split('/')) + (
        '+%d' % record['left'] if record['left'] else '')


def first_words(record):
    """What the caller saw of the fault itself; the rest is said where it is not as it must."""
    if record['verdict'] == 'ok':
        return record['saw'].split(';')[0]
    return record['verdict'].upper()


def columns(results):
    """(width, words in the head) of each."""
    libraries = list(results['versions'])
    wide = 100 - 19 - 7 * len(libraries)   # for the first two and a blank
    title = min(36, wide * 6 // 11)
    return [(title, 'fault'), (min(40, wide - title - 1), 'what the caller saw'),
            (6, 'answer'), (6, 'new'), (4, 'left')] + [
                (6, HEADS.get(library, library)) for library in libraries]


def row_cells(record, results, found):
    return ([record['title'], first_words(record), ms(record.get('answer_ms')),
             ms(record.get('replaced_ms')), 'yes' if record['left'] else '-']
            + [letters(found.get((record['python'], library)))
               for library in results['versions']])


def row(cells, widths):
    """Lines; what is too wide is wrapped."""
    wrapped = [textwrap.wrap(cell, width, max_lines=2, placeholder=' ...') or ['']
               for cell, width in zip(cells, widths)]
    lines = []
    for i in range(max(map(len, wrapped))):
        words = [cell[i] if i < len(cell) else '' for cell in wrapped]
        padded = [word.rjust(width) if 1 < n < 5 else word.ljust(width)
                  for n, (word, width) in enumerate(zip(words, widths))]
        lines.append(' '.join(padded).rstrip())
    return lines


def terminal(results):
    """The whole, at most 100 columns wide."""
    widths, heads = zip(*columns(results))
    found = peer_records(results)
    lines = row(heads, widths) + ['-' * (sum(widths) + len(widths) - 1)]
    for record in results['ours']:
        lines += row(row_cells(record, results, found), widths)
        if record['verdict'] not in ('ok', 'skip'):
            lines += textwrap.wrap('must: %s; saw: %s; %s' % (
                record.get('must', ''), record['saw'] or 'nothing', record['why']), 96,
                initial_indent='    ', subsequent_indent='    ')
    lines += ['', LEGEND] + ([PEERS_LEGEND] if results['versions'] else []) + ['']
    for line in summary(results) + peer_summary(results) + [results['machine']]:
        lines += textwrap.wrap(line, 100, subsequent_indent='  ')
    return '\n'.join(lines)


# ---- For documents


def cell(record):
    """A peer's cell in full."""
    if record is None:
        return ''
    if record['word'] == 'skip':
        return 'skipped'
    parts = [part for part in record['saw'].split('/')]
    seconds = float(record.get('answer_ms') or 0) / 1000
    if parts[0] == 'E' and seconds > 1:
        parts[0] = 'E (%.0f s)' % seconds
    words = [] if set(parts) == {'-'} else ['/'.join(parts)]
    if record['word'] in ('ended', 'owned'):
        words.insert(0, '**%s**' % record['word'])
    if record['left'] and 'left' not in record['note']:
        words.append('+%d' % record['left'])
    if record['note']:
        words.append('(%s)' % record['note'])
    return ' '.join(words).replace('H', '**H**')


def escaped(text):
    text = text.replace('<', '&lt;')
    for special in '|_*':
        text = text.replace(special, '\\' + special)
    return text


def md_row(cells):
    return '| ' + ' | '.join(cells) + ' |'


def markdown(results):
    """The table and what belongs to it."""
    libraries, found = list(results['versions']), peer_records(results)
    lines = [md_row(['fault', 'what the caller saw', 'answer, ms', 'new worker, ms', 'left']
                    + [NAMES.get(library, library) for library in libraries]),
             '|---|---|--:|--:|---|' + '---|' * len(libraries)]
    for record in results['ours']:
        saw = record['saw'] if record['verdict'] == 'ok' else '%s: %s' % (
            record['verdict'], record['why'])
        lines.append(md_row([escaped(record['title']), escaped(saw),
                             ms(record.get('answer_ms')), ms(record.get('replaced_ms')),
                             escaped(record['left']) or '-']
                            + [cell(found.get((record['python'], library)))
                               for library in libraries]))
    foot = summary(results) + peer_summary(results) + [results['machine']]
    lines += [''] + ['- ' + escaped(line) for line in foot]
    return '\n'.join(lines) + '\n'


def renewed(document, part):
    """The document with this between its two marks."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit('faults: the document lacks the marks %s and %s' % (BEGIN, END))
    return before + begin + '\n' + part + end + after


# ---- For programs


OURS = ('case', 'title', 'must', 'saw', 'verdict', 'why', 'answer_ms', 'replaced_ms', 'end_ms',
        'left')


def csv_text(results):
    """A line per case; of each library the word, what was seen, what was left, and why."""
    out, found = io.StringIO(), peer_records(results)
    writer = csv.writer(out, lineterminator='\n')
    theirs = ('word', 'saw', 'left', 'answer_ms', 'note', 'why')
    writer.writerow(list(OURS) + ['%s %s' % (library, key) for library in results['versions']
                                  for key in theirs])
    for record in results['ours']:
        line = [record.get(key, '') for key in OURS]
        for library in results['versions']:
            other = found.get((record['python'], library), {})
            line += [other.get(key, '') for key in theirs]
        writer.writerow(line)
    return out.getvalue()
