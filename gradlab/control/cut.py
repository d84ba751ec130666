"""The minimum cut of a network, by scipy. A module of its own, for scipy takes as long to import as all of gradlab."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

NEVER = math.inf  # the capacity of an edge that may not be cut


def source_side(edges: Sequence[tuple[int, int, float]], n: int) -> np.ndarray:
    """Which nodes stay with node 0 in a minimum cut between it and node 1, of `n` nodes and (from, to, capacity)."""
    finite = sum(c for *_, c in edges if c < NEVER)
    scale = min(1.0, 2.0**29 / max(finite, 1.0))  # the solver counts in 32 bits
    whole = [2**30 if c == NEVER else max(1, round(c * scale)) for *_, c in edges]
    rows, columns = [i for i, *_ in edges], [j for _, j, _ in edges]
    capacity = csr_array((np.array(whole, np.int32), (rows, columns)), shape=(n, n))
    capacity.sum_duplicates()
    capacity.data = np.minimum(capacity.data, 2**30).astype(np.int32)
    flow = maximum_flow(capacity, 0, 1).flow
    left = csr_array((capacity - flow).astype(np.int32))
    left.data[left.data < 0] = 0
    left.eliminate_zeros()
    reached = np.zeros(n, bool)
    reached[breadth_first_order(left, 0, return_predecessors=False)] = True
    return reached
