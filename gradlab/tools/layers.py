"""Boxes of any size in layers, so that edges run downwards: the positions for a drawing of a program.

**Source:** Sugiyama, Tagawa & Toda, *Methods for visual understanding of hierarchical system structures* (1981): layers
by longest paths, bends where an edge passes a layer, orders within the layers by barycentres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SWEEPS = 8


class Layout(NamedTuple):
    """`centres`: of each box, (x, top); `paths`: the points each edge goes through; `width`, `height`: of it all."""

    centres: list[tuple[float, float]]
    paths: list[list[tuple[float, float]]]
    width: float
    height: float


def laid_out(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]], gap: tuple[float, float] = (18.0, 34.0)
) -> Layout:
    """Positions for boxes of those sizes (width, height), numbered so that each edge goes from a lower to a higher one.

    **Arguments:** `gap`: the least distance between boxes, sideways and between layers.
    """
    layer = _layers(len(sizes), edges)
    widths = [w for w, _ in sizes]
    chains: list[list[int]] = []  # of each edge, the boxes and bends it passes
    for a, b in edges:
        chain = [a]
        for level in range(layer[a] + 1, layer[b]):
            chain.append(len(layer))
            layer.append(level)
            widths.append(4.0)
        chain.append(b)
        chains.append(chain)
    links = list(dict.fromkeys(pair for chain in chains for pair in zip(chain, chain[1:], strict=False)))
    rows: list[list[int]] = [[] for _ in range(max(layer, default=-1) + 1)]
    for k, level in enumerate(layer):
        rows[level].append(k)
    above: list[list[int]] = [[] for _ in layer]
    below: list[list[int]] = [[] for _ in layer]
    for a, b in links:
        below[a].append(b)
        above[b].append(a)
    _order(rows, above, below)
    x = _abscissae(rows, above, below, widths, gap[0])
    heights = [max((sizes[k][1] for k in row if k < len(sizes)), default=0.0) for row in rows]
    tops, y = [], 0.0
    for height in heights:
        tops.append(y)
        y += height + gap[1]
    left = min((x[k] - widths[k] / 2 for k in range(len(layer))), default=0.0)
    right = max((x[k] + widths[k] / 2 for k in range(len(layer))), default=0.0)
    centres = [(x[k] - left, tops[layer[k]] + (heights[layer[k]] - sizes[k][1]) / 2) for k in range(len(sizes))]
    leaves = _spread([(c[0], c[1]) for c in chains], x, widths)
    enters = _spread([(c[-1], c[-2]) for c in chains], x, widths)
    paths = []
    for chain, start, end in zip(chains, leaves, enters, strict=True):
        a, b = chain[0], chain[-1]
        points = [(start - left, centres[a][1] + sizes[a][1])]
        for k in chain[1:-1]:
            points += [(x[k] - left, tops[layer[k]]), (x[k] - left, tops[layer[k]] + heights[layer[k]])]
        paths.append([*points, (end - left, centres[b][1])])
    return Layout(centres, paths, right - left, max(y - gap[1], 0.0))


def _spread(ends: Sequence[tuple[int, int]], x: list[float], widths: list[float]) -> list[float]:
    """Where along its box each edge ends, given the box and the neighbour it comes from: evenly, without crossings."""
    of_box: dict[int, list[int]] = {}
    for e, (box, _) in enumerate(ends):
        of_box.setdefault(box, []).append(e)
    found = [0.0] * len(ends)
    for box, edges in of_box.items():
        edges.sort(key=lambda e: x[ends[e][1]])
        for i, e in enumerate(edges, 1):
            found[e] = x[box] - widths[box] / 2 + widths[box] * i / (len(edges) + 1)
    return found


def _layers(n: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """The longest path to each box; one without a source above it stands just above its first reader."""
    layer = [0] * n
    for a, b in sorted(edges, key=lambda e: e[1]):
        layer[b] = max(layer[b], layer[a] + 1)
    has_source = {b for _, b in edges}
    first: dict[int, int] = {}
    for a, b in edges:
        first[a] = min(first.get(a, layer[b]), layer[b])
    return [first[k] - 1 if k not in has_source and k in first else layer[k] for k in range(n)]


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    place = {k: i for row in rows for i, k in enumerate(row)}

    def sort(row: list[int], near: list[list[int]]) -> None:
        key = {k: sum(place[j] for j in near[k]) / len(near[k]) if near[k] else place[k] for k in row}
        row.sort(key=lambda k: key[k])
        place.update({k: i for i, k in enumerate(row)})

    for _ in range(SWEEPS):
        for row in rows[1:]:
            sort(row, above)
        for row in reversed(rows[:-1]):
            sort(row, below)


def _abscissae(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]], widths: list[float], gap: float
) -> list[float]:
    """Where each box has its middle: near the middle of its neighbours, in order, none over another."""
    x = [0.0] * len(widths)
    for row in rows:
        at = 0.0
        for k in row:
            x[k] = at + widths[k] / 2
            at += widths[k] + gap
    for sweep in range(2 * SWEEPS):
        near = above if sweep % 2 == 0 else below
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wish = [sum(x[j] for j in near[k]) / len(near[k]) if near[k] else x[k] for k in row]
            for k, at in zip(row, _apart(wish, [widths[k] for k in row], gap), strict=True):
                x[k] = at
    return x


def _apart(wish: list[float], widths: list[float], gap: float) -> list[float]:
    """The positions nearest to those wished for (in squares) in this order and at these distances at least."""
    offset, total = [], 0.0
    for k, w in enumerate(widths):
        total += (widths[k - 1] + w) / 2 + gap if k else 0.0
        offset.append(total)
    # Pools of neighbours that would overlap share their mean wish.
    pools: list[tuple[float, int]] = []
    for w, o in zip(wish, offset, strict=True):
        mean, count = w - o, 1
        while pools and pools[-1][0] > mean:
            other, n = pools.pop()
            mean = (mean * count + other * n) / (count + n)
            count += n
        pools.append((mean, count))
    starts = [mean for mean, count in pools for _ in range(count)]
    return [s + o for s, o in zip(starts, offset, strict=True)]
