# SPDX-License-Identifier: MIT
"""Draws the table of faults as SVG: a row per fault, a column per pool, a word in each cell.

The picture has a ground of its own and so can be seen on light and on dark pages.  What a
colour says the word in it says, too.
"""
from xml.sax.saxutils import escape, quoteattr

import table

# Ground and writing, for each word: dark enough for 4.5:1, and far apart for the
# colour-blind in lightness, too.
COLOURS = {
    'ok': ('#0b6e4f', '#ffffff'),
    'hang': ('#a3240f', '#ffffff'),
    'breaks': ('#f0b429', '#1a1a1a'),
    'late': ('#bfe0cf', '#1a1a1a'),
    'left': ('#cfa3d9', '#1a1a1a'),
    'ended': ('#3d1308', '#ffffff'),
    'owned': ('#3d1308', '#ffffff'),
    'wrong': ('#f7d9b0', '#1a1a1a'),
    'skip': ('#dddddd', '#333333'),
    '': ('#f4f4f4', '#666666'),
}
MEANING = {
    'ok': 'as it must be; behind it, how long the caller waited for the answer',
    'hang': 'something never ends: the task, others, later ones, or ending the pool',
    'breaks': 'other tasks or the pool are lost, too',
    'late': 'the same, but the error comes after more than 5 s only',
    'left': 'processes are left behind',
    'ended': 'the whole program was ended',
    'owned': "the worker's code ran in the client",
    'wrong': 'something else that must not be',
    'skip': 'could not be tried here',
}
TITLE, CELL, ROW, HEAD, EDGE = 400, 88, 22, 86, 16


def text(x, y, words, **attributes):
    more = ''.join(' %s=%s' % (key.replace('_', '-'), quoteattr(str(value)))
                   for key, value in attributes.items())
    return '<text x="%g" y="%g"%s>%s</text>' % (x, y, more, escape(words))


def box(x, y, word, tip, words=None):
    """A cell in the colour of a word, which it shows unless it is given others."""
    ground, writing = COLOURS.get(word, COLOURS['wrong'])
    return ['<g><title>%s</title>' % escape(tip),
            '<rect x="%g" y="%g" width="%g" height="%g" rx="3" fill="%s"/>' % (
                x + 1, y + 1, CELL - 2, ROW - 2, ground),
            text(x + CELL / 2, y + 15, words or word, fill=writing, text_anchor='middle'),
            '</g>']


def our_box(x, y, record):
    word, answer = record['verdict'], table.ms(record.get('answer_ms'))
    return box(x, y, word, '%s. %s' % (record['saw'] or 'nothing seen', record['why']),
               'ok, %s ms' % answer if word == 'ok' and answer != '-' else word)


def peer_box(x, y, record):
    if record is None:
        return []
    return box(x, y, record['word'], ' '.join(filter(None, (
        table.cell(record).replace('*', ''), record['why']))))


def shortened(words, most=60):
    return words if len(words) <= most else words[:most - 1] + '…'


def rows(results):
    """The lines, and the place below them."""
    found, lines, y = table.peer_records(results), [], HEAD - ROW
    alone = False
    for record in results['ours']:
        y += ROW
        if results['versions'] and not record['python'] and not alone:
            alone = True
            y += ROW + 8
            lines.append(text(EDGE, y - 5, 'procpool alone', fill='#1a1a1a',
                              font_weight='bold'))
        lines.append('<g><title>%s</title>' % escape(record.get('must', '')))
        lines.append(text(EDGE, y + 15, shortened(record['title']), fill='#1a1a1a') + '</g>')
        lines += our_box(EDGE + TITLE, y, record)
        for column, library in enumerate(results['versions'], 1):
            lines += peer_box(EDGE + TITLE + column * CELL, y,
                              found.get((record['python'], library)))
    return lines, y + ROW


def heads(results):
    lines = [text(EDGE, 30, 'What a fault does to a process pool', font_size=17,
                  font_weight='bold', fill='#1a1a1a')]
    for column, name in enumerate(['procpool', *results['versions']]):
        x = EDGE + TITLE + (column + 0.5) * CELL
        lines.append(text(x, HEAD - 10, name, text_anchor='middle', fill='#1a1a1a',
                          font_weight='normal' if column else 'bold'))
    return lines


def legend(results, y):
    """Lines for the words that are there, and how high they are."""
    words = ({record['verdict'] for record in results['ours']}
             | {record['word'] for record in results['peers']})
    lines = []
    for word in [word for word in MEANING if word in words]:
        lines += box(EDGE, y, word, word)
        lines.append(text(EDGE + CELL + 8, y + 15, MEANING[word], fill='#1a1a1a'))
        y += ROW
    versions = '; '.join(dict.fromkeys(
        [table.NAMES.get(library, library) + ': ' + version
         for library, version in results['versions'].items()]))
    for line in table.textwrap.wrap(versions, 110):
        y += 18
        lines.append(text(EDGE, y, line, fill='#555555', font_size=11))
    return lines, y + EDGE


def draw(results):
    """The picture as text."""
    body, y = rows(results)
    below, height = legend(results, y + 14)
    width = max(2 * EDGE + TITLE + CELL * (1 + len(results['versions'])), 640)
    count = sum(record['verdict'] == 'ok' for record in results['ours'])
    words = 'Table of faults: procpool answers %d of %d as it must.' % (count,
                                                                     len(results['ours']))
    return '\n'.join([
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" '
        'role="img" aria-label="%s" font-family="sans-serif" font-size="12.5">' % (
            width, height, width, height, escape(words)),
        '<rect width="100%" height="100%" rx="8" fill="#ffffff"/>',
        *heads(results), *body, *below, '</svg>']) + '\n'
