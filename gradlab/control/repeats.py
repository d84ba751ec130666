"""Repetition in a program: equations that come again at a fixed distance, on operands that stay, move along, or differ.

A Python loop leaves its body once per turn. The equations are numbered by what they do (primitive, parameters, types),
so that a loop is a stretch of the list that equals itself shifted by a period, and the values are numbered as they are
made, so that an operand moves along with the loop when its number grows by as many values as a turn makes. Everything
here is arithmetic on arrays of such numbers, in time proportional to the length of the program.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .code import Code

MIN_TRIPS = 3
MAX_LAG = 8  # how many turns back an operand may come from
_NEAR = 32  # operands made within so many values tell apart equations that do the same
_MOST_PERIODS = 12  # tried for each length of window


class Window(NamedTuple):
    """A loop found: `trips` turns of `period` equations each, from equation `start` on.

    `operands` (trips, slots) are the numbers of a turn's operands; of each slot `role` says whether it STAYS, MOVES or
    DIFFERS, and for one that moves `offset` is its number counted from the first value of the turn: negative where it
    comes from an earlier turn. A turn makes `n_values` values, the first turn's first one is number `base`.
    """

    start: int
    period: int
    trips: int
    n_values: int
    base: int
    operands: np.ndarray
    role: np.ndarray
    offset: np.ndarray

    @property
    def stop(self) -> int:
        return self.start + self.period * self.trips


STAYS, MOVES, DIFFERS = 0, 1, 2


# -- candidate periods

_ODD = np.uint64(0x9E3779B97F4A7C15)


def _mixed(h: np.ndarray) -> np.ndarray:
    h = h * _ODD
    return (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)


def periods(code: Code, least: int) -> list[int]:
    """Distances at which equations of weight `least` in all come again, found by windows of 1, 4, 16, ... equations.

    A longer window tells the period of an outer loop from that of what repeats within its body.
    """
    n = len(code.kind)
    counts = np.diff(code.start)
    owner = np.repeat(np.arange(n), counts)
    distance = code.first[:-1][owner] - code.operands
    near = np.where((code.operands >= code.first[0]) & (distance <= _NEAR), distance, 0)
    slot = np.arange(len(owner)) - code.start[:-1][owner]
    terms = _mixed((near * 16 + slot % 16).astype(np.uint64))
    sums = np.concatenate((np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)))
    h = _mixed(_mixed(code.kind.astype(np.uint64)) + (sums[code.start[1:]] - sums[code.start[:-1]]))
    found: set[int] = set()
    width = 1
    while width <= n // MIN_TRIPS:
        order = np.argsort(h, kind="stable")
        again = h[order[1:]] == h[order[:-1]]
        first = order[:-1][again]
        gaps = np.bincount(order[1:][again] - first, code.weight[first]) if len(first) else np.zeros(1)
        # A window that begins in the last turns looks beyond the loop and meets nothing.
        often = np.flatnonzero(gaps * MIN_TRIPS >= least)
        if not len(often):
            break
        found.update(often[np.argsort(gaps[often])[::-1][:_MOST_PERIODS]].tolist())
        if len(h) <= 3 * width:
            break
        a, b, c, d = (h[k * width : len(h) - (3 - k) * width] for k in range(4))
        h = _mixed(_mixed(_mixed(a) + b) * _ODD + _mixed(_mixed(c) + d))
        width *= 4
    return sorted(found)


# -- loops


def windows(code: Code, least: int) -> list[Window]:
    """Loops that do not overlap, each with at least `least` equations to compile, in the order of the program."""
    found: list[Window] = []
    taken = np.zeros(len(code.kind), bool)
    total = np.concatenate(([0], np.cumsum(code.weight)))
    for period in periods(code, least):
        same = code.kind[period:] == code.kind[:-period]
        edges = np.flatnonzero(np.diff(np.concatenate(([0], same.view(np.int8), [0]))))
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            end += period
            if end - begin < MIN_TRIPS * period or total[end] - total[begin] < least:
                continue
            for window in _loops(code, begin, end, period):
                span = slice(window.start, window.stop)
                if total[window.stop] - total[window.start] >= least and not taken[span].any():
                    taken[span] = True
                    found.append(window)
    return sorted(found)


def _loops(code: Code, begin: int, end: int, period: int) -> Iterator[Window]:
    """The loops in a stretch of equations that do the same with this period."""
    begin += _phase(code, begin, end, period)
    trips = (end - begin) // period
    if trips < MIN_TRIPS:
        return
    operands, base, n_values = _turns(code, begin, trips, period)
    role, offset = _roles(operands, base, n_values)
    lag = -(offset // n_values)  # how many turns back, for what comes from an earlier one
    if (lag[role == MOVES] > MAX_LAG).any():
        return
    step = np.diff(operands, axis=0)
    wrong = ((step != 0) & (role == STAYS)) | ((step != n_values) & (role == MOVES))
    breaks = [-1, *np.flatnonzero(wrong.any(axis=1)).tolist(), trips - 1]
    for before, after in zip(breaks, breaks[1:], strict=False):
        first, last = before + 1, after
        if last - first + 1 < MIN_TRIPS - 1:
            continue
        stays = operands[last]
        offset = np.where(role == MOVES, operands[last] - base[last], 0)
        lag = np.where(role == MOVES, -(offset // n_values), 0)
        for _ in range(int(lag.max(initial=0))):
            if first - 1 <= before - MAX_LAG or not _may_begin(operands, base, role, offset, lag, stays, first - 1):
                break
            first -= 1
        differs = operands[first : last + 1, role == DIFFERS] >= base[first]
        stop = np.flatnonzero(differs.any(axis=1))
        trips_here = int(stop[0]) if len(stop) else last - first + 1
        outside = operands[first, role == STAYS] < base[first]
        if trips_here >= MIN_TRIPS and outside.all():
            part = operands[first : first + trips_here]
            yield Window(begin + first * period, period, trips_here, n_values, int(base[first]), part, role, offset)


def _turns(code: Code, begin: int, trips: int, period: int) -> tuple[np.ndarray, np.ndarray, int]:
    """The operands of each turn (trips, slots), the number of each turn's first value, how many values a turn makes."""
    slots = int(code.start[begin + period] - code.start[begin])
    n_values = int(code.first[begin + period] - code.first[begin])
    at = int(code.start[begin])
    operands = code.operands[at : at + trips * slots].reshape(trips, slots)
    return operands, code.first[begin] + n_values * np.arange(trips), n_values


def _roles(operands: np.ndarray, base: np.ndarray, n_values: int) -> tuple[np.ndarray, np.ndarray]:
    """What most turns do with each slot, and the offset of those that move."""
    step = np.diff(operands, axis=0)
    moves = (step == n_values) & (operands[1:] >= base[0])
    stays = step == 0
    half = len(step) / 2
    # Of three turns' two steps one is the first's, whose operands may come from anywhere.
    moving = moves.any(axis=0) & (moves.sum(axis=0) >= half)
    role = np.where(stays.sum(axis=0) > half, STAYS, np.where(moving, MOVES, DIFFERS))
    turn = len(step) - np.argmax(moves[::-1], axis=0)
    offset = operands[turn, np.arange(operands.shape[1])] - base[turn]
    return role, np.where(role == MOVES, offset, 0)


def _may_begin(
    operands: np.ndarray,
    base: np.ndarray,
    role: np.ndarray,
    offset: np.ndarray,
    lag: np.ndarray,
    stays: np.ndarray,
    first: int,
) -> bool:
    """Whether a loop may begin one turn earlier, at `first`: what an earlier turn would have made comes from before."""
    if first < 0:
        return False
    row = operands[first]
    inside = (role == MOVES) & (lag <= 0)
    if (row - base[first] != offset)[inside].any() or (row != stays)[role == STAYS].any():
        return False
    reaching = (role == MOVES) & (lag > 0)
    for k, later in enumerate(operands[first : first + int(lag.max(initial=0))]):
        early, settled = reaching & (lag > k), reaching & (lag <= k)
        if (later[early] >= base[first]).any() or (later - base[first + k] != offset)[settled].any():
            return False
    return True


def _phase(code: Code, begin: int, end: int, period: int) -> int:
    """Where a turn begins, counted from `begin`: where the fewest bytes are handed from one turn to the next."""
    trips = (end - begin) // period
    operands, base, n_values = _turns(code, begin, trips, period)
    role, offset = _roles(operands, base, n_values)
    at = int(code.start[begin])
    owner = np.repeat(np.arange(period), np.diff(code.start[begin : begin + period + 1]))
    assert len(owner) == operands.shape[1] and at >= 0
    moving = np.flatnonzero(role == MOVES)
    value = offset[moving] % n_values  # which of a turn's values
    made = (code.origin[base[0] + np.arange(n_values)] - begin)[value] + period * (offset[moving] // n_values)
    span = np.zeros(n_values, np.int64)
    np.maximum.at(span, value, owner[moving] - made)
    place = code.origin[base[0] + np.arange(n_values)] - begin
    size = code.size[base[0] + np.arange(n_values)] + 1
    change = np.zeros(2 * period + 2, np.int64)
    np.add.at(change, place + 1, size)
    np.add.at(change, place + 1 + span % period, -size)
    line = np.cumsum(change)
    cost = line[:period] + line[period : 2 * period] + int((size * (span // period)).sum())
    whole = (end - begin - np.arange(period)) // period
    best = np.flatnonzero(cost == cost.min())
    return int(best[np.argmax(whole[best])])
