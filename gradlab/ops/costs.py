"""What primitives cost, family by family: rules `(results, *operands, **params) -> Work` over their types.

Elementwise counts are XLA's: one operation for each element of the result. Complex numbers count the real operations
they are made of. Matrix factorisations have the counts of Golub & Van Loan, *Matrix Computations* (4th ed.), leading
terms, for each matrix of a stack.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..ir.graph import Aval
from ..ir.work import Work

Cost = Callable[..., Work]


def is_complex(aval: Aval) -> bool:
    """Whether the elements are pairs of real numbers."""
    return getattr(aval.dtype, "kind", "") == "c"


def each(flops: int = 1, of_complex: int | None = None) -> Cost:
    """So many FLOPs for each element of the result; another number where the operands are complex."""

    def cost(outs: tuple[Aval, ...], *xs: Aval, **params: Any) -> Work:
        n = of_complex if of_complex is not None and xs and is_complex(xs[0]) else flops
        return Work(n * outs[0].size)

    return cost


MOVES: Cost = lambda outs, *xs, **params: Work()  # noqa: E731  data is moved, nothing computed
EACH = each()
ADDS = each(1, of_complex=2)
MULTIPLIES = each(1, of_complex=6)
DIVIDES = each(1, of_complex=11)
TRANSCENDENTAL: Cost = lambda outs, *xs, **params: Work(0, outs[0].size)  # noqa: E731


def absolute(outs: tuple[Aval, ...], x: Aval) -> Work:
    """A comparison, or the root of a sum of two squares."""
    return Work(3 * x.size, x.size) if is_complex(x) else Work(x.size)


def power(outs: tuple[Aval, ...], x: Aval, *, y: int) -> Work:
    """Multiplications of the power by squaring, and a division if it is negative."""
    k = abs(y)
    products = max(k.bit_length() - 1 + k.bit_count() - 1, 0)
    return Work(x.size * ((6 if is_complex(x) else 1) * products + (y < 0)))


def reduces(outs: tuple[Aval, ...], x: Aval, **params: Any) -> Work:
    """n elements are made m by n - m operations."""
    return Work((2 if is_complex(x) else 1) * max(x.size - outs[0].size, 0))


def multiplies_out(outs: tuple[Aval, ...], x: Aval, **params: Any) -> Work:
    """As `reduces`, by products."""
    return Work((6 if is_complex(x) else 1) * max(x.size - outs[0].size, 0))


def log_sum_exp(outs: tuple[Aval, ...], x: Aval, **params: Any) -> Work:
    """A maximum, differences, exponentials, a sum, logarithms, and the maximum added."""
    n, m = x.size, outs[0].size
    return Work(2 * max(n - m, 0) + n + m, n + m)


def scans(outs: tuple[Aval, ...], x: Aval, *, axis: int, **params: Any) -> Work:
    """n - 1 operations for n elements along an axis."""
    n = x.shape[axis]
    return Work((2 if is_complex(x) else 1) * (x.size // n * (n - 1) if n else 0))


def scans_exp(outs: tuple[Aval, ...], x: Aval, *, axis: int, **params: Any) -> Work:
    """As `scans`, with an exponential and a logarithm for each step."""
    return Work(3 * scans(outs, x, axis=axis).flops, 2 * scans(outs, x, axis=axis).flops)


def recurs(outs: tuple[Aval, ...], a: Aval, b: Aval, *, axis: int, **params: Any) -> Work:
    """A multiplication and an addition for each step."""
    return Work((8 if is_complex(a) else 2) * scans(outs, b.retyped("float64"), axis=axis).flops)


def multiplies_duals(outs: tuple[Aval, ...], x: Aval, t: Aval, *, axis: int, **params: Any) -> Work:
    """Three multiplications and an addition for each step."""
    return Work((20 if is_complex(x) else 4) * scans(outs, x.retyped("float64"), axis=axis).flops)


def contracts(outs: tuple[Aval, ...], x: Aval, y: Aval, *, contract: Any, **params: Any) -> Work:
    """A multiply-add for each element of the result and each step of the sum: 2mnk, or 8mnk."""
    return Work((8 if is_complex(x) else 2) * outs[0].size * math.prod(x.shape[i] for i in contract[0]))


def convolves(
    outs: tuple[Aval, ...], x: Aval, y: Aval, *, strides, padding, lhs_dilation, rhs_dilation, spec, **params: Any
) -> Work:
    """A multiply-add for each pair of elements that meet; the padding and the gaps of dilation do not count."""
    pairs = 1
    for k, (stride, (low, _), gap, step) in enumerate(zip(strides, padding, lhs_dilation, rhs_dilation, strict=True)):
        n, w, m = x.shape[spec[0][k + 2]], y.shape[spec[1][k + 2]], outs[0].shape[spec[2][k + 2]]
        last = (n - 1) * gap
        meet = 0
        for tap in range(w):
            at = [i * stride - low + tap * step for i in range(m)]
            meet += sum(0 <= p <= last and p % gap == 0 for p in at)
        pairs *= meet
    batch, out_features = outs[0].shape[spec[2][0]], outs[0].shape[spec[2][1]]
    return Work((8 if is_complex(x) else 2) * batch * out_features * y.shape[spec[1][1]] * pairs)


def sorts(outs: tuple[Aval, ...], *xs: Aval, axis: int = -1, **params: Any) -> Work:
    """n ⌈log₂ n⌉ comparisons for each line of n."""
    n = xs[0].shape[axis]
    return Work(xs[0].size * max(n - 1, 0).bit_length())


def bisects(outs: tuple[Aval, ...], a: Aval, v: Aval, **params: Any) -> Work:
    """⌈log₂(n + 1)⌉ comparisons for each element that is looked for."""
    return Work(v.size * a.shape[-1].bit_length())


def slides(outs: tuple[Aval, ...], x: Aval, *, window: tuple[int, ...], **params: Any) -> Work:
    """k - 1 operations for each window of k."""
    return Work((2 if is_complex(x) else 1) * outs[0].size * max(math.prod(window) - 1, 0))


def updates(outs: tuple[Aval, ...], x: Aval, y: Aval, *indices: Aval, **params: Any) -> Work:
    """One operation for each number written."""
    return Work((2 if is_complex(x) else 1) * y.size)


def looks(outs: tuple[Aval, ...], x: Aval, *others: Aval, **params: Any) -> Work:
    """A comparison for each element of the operand."""
    return Work(x.size)


def places(outs: tuple[Aval, ...], *xs: Aval, **params: Any) -> Work:
    """A comparison and a choice for each element of the result."""
    return Work(2 * outs[0].size)


def transforms(outs: tuple[Aval, ...], x: Aval, *, kind: str, lengths: tuple[int, ...], **params: Any) -> Work:
    """5n log₂ n for each complex transform of length n, half of that for a real one."""
    points = math.prod(lengths)
    wide = outs[0] if kind == "irfft" else x
    stacks = wide.size // points if points else 0
    whole = 5 * points * math.log2(points) if points > 1 else 0.0
    return Work(round(stacks * whole * (0.5 if kind in ("rfft", "irfft") else 1)))


def of_matrix(count: Callable[[int, int], float], at: int = 0) -> Cost:
    """`count(m, n)` FLOPs for each (m, n) matrix of a stack, the operand number `at`; four times that if complex."""

    def cost(outs: tuple[Aval, ...], *xs: Aval, **params: Any) -> Work:
        *stack, m, n = xs[at].shape
        return Work(round((4 if is_complex(xs[at]) else 1) * math.prod(stack) * count(m, n)))

    return cost


def tall(count: Callable[[int, int], float]) -> Cost:
    """`of_matrix` for a count that takes the longer side first."""
    return of_matrix(lambda m, n: count(max(m, n), min(m, n)))


def solves(factor: Callable[[int], float], at: int) -> Cost:
    """A factorisation of (n, n), and its application to the right sides, the operand number `at`: 2n² for each."""

    def cost(outs: tuple[Aval, ...], a: Aval, *others: Aval, **params: Any) -> Work:
        n, b = a.shape[-1], (a, *others)[at]
        stack = a.size // (n * n) if n else 0
        return Work(round((4 if is_complex(a) else 1) * (stack * factor(n) + 2 * n * b.size)))

    return cost


def substitutes(outs: tuple[Aval, ...], a: Aval, b: Aval, **params: Any) -> Work:
    """n² for each right side of a triangular system."""
    return Work((4 if is_complex(a) else 1) * a.shape[-1] * b.size)
