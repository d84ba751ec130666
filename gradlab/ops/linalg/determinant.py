"""Determinants, of a matrix and its LU factors."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...ir.work import Work
from ...trace.builder import bind, bind1
from ..arith import abs, add, mul, rem, sub
from ..compare import eq, le, ne, select
from ..convert import complex, convert, imag, part_dtype, real
from ..costs import of_matrix
from ..index import scatter_set
from ..operands import fill, zeros_like
from ..reduce import argmin, pick, reduce_max, reduce_sum
from ..shape import broadcast, expand_dims, iota, reshape
from . import matrix as m
from .lu import INT32, Factors, solve


def parity(factors: Factors, dtype: Any) -> Any:
    """1 or -1 (..., ): whether the rows were swapped an even or an odd number of times."""
    pivots = factors.pivots
    swaps = ne(pivots, broadcast(iota(INT32, pivots.shape[-1:]), pivots.shape, (pivots.ndim - 1,)))
    odd = rem(reduce_sum(convert(swaps, dtype=INT32), axes=(pivots.ndim - 1,)), 2)
    return convert(sub(1, mul(2, odd)), dtype=dtype)


def det(a: Any, factors: Factors) -> Any:
    """The determinants (...,) of matrices; the derivative is the cofactor matrix, whatever the rank.

    The second derivative is right where at most one pivot is 0: for n - 1 of n rows independent, as a rule.
    """
    return _det(a, factors.lu, factors.permutation, parity(factors, a.dtype))


def slogdet(a: Any, factors: Factors) -> tuple[Any, Any]:
    """Sign (or phase) and logarithm of the size of the determinants; 0 and -inf of a singular matrix."""
    return bind(slogdet_p, a, factors.lu, factors.permutation, parity(factors, a.dtype))  # type: ignore[return-value]


def _det(a: Any, lu: Any, permutation: Any, sign: Any) -> Any:
    return bind1(det_p, a, lu, permutation, sign)


_DIAGONAL = "jnp.diagonal({}, axis1=-2, axis2=-1)"


def _det_infer(a: Aval, lu: Aval, permutation: Aval, sign: Aval) -> tuple[Aval]:
    m.require_matrices("det", a, square=True)
    return (a.reshaped(a.shape[:-2]),)


def _det_jvp(xs, tangents):
    """tr(adj(a)·da), with adj(a) finite where a is singular.

    The matrix is moved away from singularity by a constant s·c·eᵀ, which adds s to its smallest pivot, in place k; c is
    column k of L in a's order of rows. Then det a = det a' · (1 - s·eᵀ a'⁻¹ c) is an identity, and its derivative is
    tr((det a · a'⁻¹ + det a' · s·a'⁻¹ c eᵀ a'⁻¹)·da), of which no part is singular. This may be differentiated again.
    """
    a, lu, permutation, sign = xs
    da = tangents[0]
    out = _det(*xs)
    k, row, s, shifted = _shift(lu)
    each = broadcast(k, a.shape[:-1], range(a.ndim - 2))
    column = pick(m.on_diagonal(m.lower(lu), 1.0), each, axis=a.ndim - 1)
    c = expand_dims(_put_back(column, permutation), (a.ndim - 1,))
    e = expand_dims(row, (a.ndim - 2,))
    s = expand_dims(s, (a.ndim - 2, a.ndim - 1))
    # The moved matrix is written out for the derivative of what follows; its value is never asked for.
    moved = add(a, mul(broadcast(s, a.shape, range(a.ndim)), m.dot(c, e)))
    n = a.shape[-1]
    # Solved, not multiplied by the inverse: c is a column of L, of which elimination makes a unit vector exactly.
    both = solve(moved, Factors(shifted, None, permutation), m.beside(m.identity(a), c))
    inverse, reached = m.columns_of(both, 0, n), m.columns_of(both, n, n + 1)
    at_row = pick(inverse, each, axis=a.ndim - 2)
    scale = mul(reshape(s, a.shape[:-2]), _det(moved, shifted, permutation, sign))
    lead = range(a.ndim - 2)
    adjugate = add(
        mul(broadcast(out, a.shape, lead), inverse),
        mul(mul(broadcast(scale, a.shape, lead), broadcast(reached, a.shape, range(a.ndim))), m.across(at_row, n)),
    )
    return (out,), (reduce_sum(mul(m.transpose(adjugate), da), axes=(a.ndim - 2, a.ndim - 1)),)


def _put_back(v: Any, permutation: Any) -> Any:
    """v (..., n) with v[i] moved to place permutation[i]."""
    last = v.ndim - 1
    places = [*(iota(permutation.dtype, v.shape, i) for i in range(last)), permutation]
    return scatter_set(zeros_like(v), v, *places, axes=range(v.ndim), mode="promise_in_bounds", unique=True)


def _shift(lu: Any) -> tuple[Any, Any, Any, Any]:
    """Where the smallest pivot stands, the unit vector there, what is added to it, and the factors with that added.

    Nothing is added to a pivot that is not small. Others that are exactly 0 become ε: a change the size of rounding.
    """
    pivots = m.diagonal(lu)
    last = pivots.ndim - 1
    size = abs(pivots)
    k = argmin(size, axis=last)
    top = reduce_max(size, axes=(last,))
    top = select(eq(top, 0.0), fill(1.0, top.aval), top)
    eps = float(jnp.finfo(size.dtype).eps)
    s = select(le(pick(size, k, axis=last), mul(eps**0.5, top)), top, zeros_like(top))
    s = m.like(s, lu)
    lead = range(last)
    here = eq(broadcast(k, pivots.shape, lead), broadcast(iota(k.dtype, pivots.shape[-1:]), pivots.shape, (last,)))
    tiny = m.like(mul(eps, top), lu)
    kept = select(eq(pivots, zeros_like(pivots)), broadcast(tiny, pivots.shape, lead), pivots)
    pivots = select(here, add(pivots, broadcast(s, pivots.shape, lead)), kept)
    return k, convert(here, dtype=lu.dtype), s, m.on_diagonal(lu, m.across(pivots, lu.shape[-1]))


det_p = Primitive(
    name="det",
    infer=_det_infer,
    emit=lambda a, lu, permutation, sign: f"{sign} * jnp.prod({_DIAGONAL.format(lu)}, axis=-1)",
    jvp=_det_jvp,
    transpose=Refused("det is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: det_p),
    cost=of_matrix(lambda n, _: n),
)


def _slogdet_infer(a: Aval, lu: Aval, permutation: Aval, sign: Aval) -> tuple[Aval, Aval]:
    m.require_matrices("slogdet", a, square=True)
    out = a.reshaped(a.shape[:-2])
    return out, out.retyped(part_dtype(a.dtype), a.weak)


def _slogdet_emit(a, lu, permutation, sign):
    d = _DIAGONAL.format(lu)
    return f"{sign} * jnp.prod(jnp.sign({d}), axis=-1), jnp.sum(jnp.log(jnp.abs({d})), axis=-1)"


def _slogdet_jvp(xs, tangents):
    """d log det a = tr(a⁻¹·da); its imaginary part turns the phase."""
    a, lu, permutation, _ = xs
    sign, log = bind(slogdet_p, *xs)
    inverse = solve(a, Factors(lu, None, permutation), m.identity(a))
    change = reduce_sum(mul(m.transpose(inverse), tangents[0]), axes=(a.ndim - 2, a.ndim - 1))
    if a.dtype.kind != "c":
        return (sign, log), (None, change)
    turn = imag(change)
    return (sign, log), (mul(complex(zeros_like(turn), turn), sign), real(change))


def _slogdet_cost(outs: tuple[Aval, ...], a: Aval, *others: Aval) -> Work:
    return Work(outs[1].size * a.shape[-1], outs[1].size * a.shape[-1])


slogdet_p = Primitive(
    name="slogdet",
    infer=_slogdet_infer,
    emit=_slogdet_emit,
    jvp=_slogdet_jvp,
    transpose=Refused("slogdet is not linear; only linear equations are transposed"),
    batch=m.batch_stacks(lambda: slogdet_p),
    cost=_slogdet_cost,
)
