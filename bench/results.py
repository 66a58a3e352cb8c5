# SPDX-License-Identifier: MIT
"""What bench/table and bench/plot make of a results.json: rows and goals."""
import os
import re
import statistics

HERE = os.path.dirname(os.path.abspath(__file__))
SUBJECT = 'procpool'
TITLES = {
    'apply': 'apply, asleep in between',
    'apply_two_cpus': 'the same, pinned to two CPUs',
    'apply_one_cpu': 'the same on one CPU',
    'apply_spin': 'apply, spinning where it pays',
    'apply_spin_one_cpu': 'the same on one CPU',
    'apply_async': 'apply_async, then all results',
    'apply_async_one_cpu': 'the same on one CPU',
    'map_default': 'map, default chunks',
    'map_shared': 'map in shared memory',
    'map_chunk1': 'map, chunksize 1',
    'map_heavy': 'map of heavy items',
    'map_commands': 'running small programs',
    'imap': 'imap, ordered',
    'imap_unordered': 'imap_unordered',
    'imap_unordered_one_cpu': 'the same on one CPU',
    'echo_1KB': 'echo of 1 KB',
    'echo_1MB': 'echo of 1 MB',
    'echo_64MB': 'echo of 64 MB',
    'echo_made_1KB': 'echo of 1 KB, made anew',
    'echo_made_1MB': 'echo of 1 MB, made anew',
    'echo_made_64MB': 'echo of 64 MB, made anew',
    'apply_shared': 'apply on shared memory',
    'makespan': 'tasks of 1 ms on average',
    'start': 'start 2, one task, stop',
    'start_64': 'start 64, one task, stop',
    'memory': 'memory of an idle worker',
    'idle': 'idle for 5 s, all workers',
    'queued': 'memory of a queued call',
    'imap_memory': 'memory of all in an imap',
    'crash': '1 of 1000 kills its worker',
    'death': 'from a death to the error',
    'replace': '... to a replacement',
    'wakes': 'futex calls in apply_async',
    'watch': 'maps while somebody watches, over maps alone',
}
PREFIXES = ((1e9, 'G'), (1e6, 'M'), (1e3, 'k'), (1, ''), (1e-3, 'm'), (1e-6, 'u'), (1e-9, 'n'))
BETTER = {'s': 'as fast', '/s': 'as fast', 'B/s': 'as fast', 'B': 'smaller', 'x': 'better',
          'fold': 'better'}   # numbers are not compared


def spread(values):
    values = list(values)
    return {'median': statistics.median(values), 'min': min(values), 'max': max(values)}


# ---- Rows


def ratio_of(subject, other, unit):
    """How many times as good the subject is; None where that means nothing."""
    if unit not in BETTER:
        return None
    higher_is_better = unit.endswith('/s') or unit == 'fold'
    above, below = (subject, other) if higher_is_better else (other, subject)
    return above / below if below > 0 else None


def series_of(samples):
    """{(workload, metric): {peer: {repetition: sample}}}, in the order of the samples."""
    series = {}
    for sample in samples:
        for metric in sample['values']:
            peers = series.setdefault((sample['workload'], metric), {})
            peers.setdefault(sample['peer'], {})[sample['repetition']] = sample
    return series


def row_of(workload, metric, peer, samples, subject):
    """One peer in one metric; the ratios are of samples of the same repetition."""
    unit = next(iter(samples.values()))['units'][metric]
    values = {rep: sample['values'][metric] for rep, sample in samples.items()}
    row = dict(workload=workload, metric=metric, peer=peer, unit=unit, n=len(values),
               disturbed=sum(not sample['quiet'] for sample in samples.values()),
               **spread(values.values()))
    ratios = [ratio_of(subject[rep]['values'][metric], value, unit)
              for rep, value in values.items() if rep in subject]
    if peer != SUBJECT and ratios and None not in ratios:
        row['ratio'] = spread(ratios)
    return row


def rows_of(results):
    return [row_of(workload, metric, peer, peers[peer], peers.get(SUBJECT, {}))
            for (workload, metric), peers in series_of(results['samples']).items()
            for peer in results['peers'] if peer in peers]


# ---- Goals


def read_bound(text):
    """('<=', 400000.0) of '<= 0.4 MB'; None of '-'"""
    if text == '-':
        return None
    sign, number, unit = re.fullmatch(r'([<>]=) ([0-9.]+) ?(MB)?', text).groups()
    return sign, float(number) * (1e6 if unit else 1)


def read_goals():
    with open(os.path.join(HERE, 'goals')) as file:
        lines = [line.strip() for line in file if line.strip() and line[0] != '#']
    goals = []
    for line in lines:
        name, what, value, ask, stretch = (part.strip() for part in line.split('|'))
        terms = [tuple(term.split()) for term in value.split('/')]
        goals.append(dict(name=name, what=what, terms=terms, ask=ask, stretch=stretch))
    return goals


def reaches(value, bound):
    if read_bound(bound) is None:
        return None
    sign, limit = read_bound(bound)
    return value <= limit if sign == '<=' else value >= limit


def verdict_of(goal):
    """In words; MISSED alone means that what is asked for is not reached."""
    median = goal['value']['median']
    if reaches(median, goal['ask']) is False:
        return 'MISSED'
    if reaches(median, goal['stretch']):
        return 'stretch'
    return 'met' if goal['ask'] != '-' else 'not asked'


def goals_of(results):
    """Those that can be told from these samples, with value, unit and verdict."""
    samples = {(s['workload'], s['peer'], s['repetition']): s for s in results['samples']}
    found = []
    for goal in read_goals():
        values, unit = [], 'x'
        for rep in range(results['repetitions']):
            picked = [(samples.get((workload, peer, rep)), metric)
                      for workload, peer, metric in goal['terms']]
            if any(not sample or metric not in sample['values'] for sample, metric in picked):
                continue
            numbers = [sample['values'][metric] for sample, metric in picked]
            if len(numbers) == 1:
                unit = picked[0][0]['units'][picked[0][1]]
            values.append(numbers[0] / numbers[1] if len(numbers) == 2 else numbers[0])
        if values:
            goal.update(value=spread(values), unit=unit, n=len(values))
            goal['verdict'] = verdict_of(goal)
            found.append(goal)
    return found


# ---- Curves: {series: [[x, median, lowest, highest], ...]}


def with_best_fixed(curves):
    """Adds, to the series of fixed chunk sizes, the lowest median at each x."""
    best = {}
    for series, points in curves.items():
        for point in points if series.startswith('fixed_') else ():
            if point[0] not in best or point[1] < best[point[0]][1]:
                best[point[0]] = point
    return dict(curves, best_fixed=[best[x] for x in sorted(best)]) if best else curves


def chunk_choice(curves):
    """(how many times as long as with the best fixed chunk size a map takes with the
    library's, where that is worst; the time of an item there); None without these."""
    curves = with_best_fixed(curves)
    if 'best_fixed' not in curves or 'guided' not in curves:
        return None
    best = {point[0]: point[1] for point in curves['best_fixed']}
    return max((point[1] / best[point[0]], point[0]) for point in curves['guided']
               if point[0] in best)


# ---- Text


def digits(value):
    if value == 0:
        return '0'
    return '%.3g' % value if value < 100 else '%.0f' % value


def prefix_for(value, unit):
    """(factor, unit with its prefix)"""
    if unit in ('x', 'fold', 'n'):
        return 1, {'x': '', 'n': ''}.get(unit, ' ' + unit)
    fitting = [p for p in PREFIXES if value >= p[0]]
    factor, prefix = fitting[0] if fitting else (1, '')
    return factor, ' ' + prefix + unit


def with_prefix(value, unit):
    """'12.3 us' and '11.9 .. 14.2', both in the unit that suits the median."""
    factor, name = prefix_for(value['median'], unit)
    median, low, high = (digits(value[key] / factor) for key in ('median', 'min', 'max'))
    return median + name, '%s .. %s' % (low, high)
