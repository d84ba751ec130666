"""Algebra that is exact in floating point: x·1, −(−x), a stretch of a stretch, a product with the identity matrix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..ir.graph import Atom, Eqn, Graph, Lit, Var
from ..ir.primitive import Primitive
from ..ops.contract import dot_general_p, eye_p
from ..ops.families import add_p, broadcast_p, mul_p, neg_p, permute_p, reduce_sum_p, reshape_p, sub_p
from .rewrite import Instead, rewrite

Made = Mapping[Var, Eqn]
RULES: dict[Primitive, Callable[[Eqn, Made], Eqn | Instead | tuple[Atom, ...] | None]] = {}


def simplify(graph: Graph) -> Graph:
    """(x*) -> (y*) keeps its type and, to the last bit, its values."""
    return rewrite(graph, simplified)


def simplified(eqn: Eqn, made: Made):
    """What `rewrite` puts in the place of an equation, or None."""
    rule = RULES.get(eqn.prim)
    return None if rule is None else rule(eqn, made)


def rule(prim: Primitive):
    """Registers `(equation, made)` -> what `rewrite` puts in its place."""

    def register(fn):
        RULES[prim] = fn
        return fn

    return register


def is_number(a: Atom, value: float) -> bool:
    """Whether `a` is a literal of exactly this value (and sign)."""
    return type(a) is Lit and a.value == value and str(a.value)[0] == str(value)[0]


def made_by(a: Atom, prim: Primitive, made: Made) -> Eqn | None:
    """The equation that defines `a`, if it is of this primitive."""
    eqn = made.get(a) if type(a) is Var else None
    return eqn if eqn is not None and eqn.prim is prim else None


def same(eqn: Eqn, a: Atom) -> tuple[Atom, ...] | None:
    """`a` in place of the result, if it has its very type."""
    return (a,) if a.aval == eqn.outputs[0].aval else None


def with_inputs(eqn: Eqn, prim: Primitive, *inputs: Atom, **params) -> Eqn | None:
    """The equation redone as `prim(*inputs)`, if that gives the result the same type."""
    (out,) = prim.infer(*(a.aval for a in inputs), **params)
    return Eqn(prim, inputs, eqn.outputs, params, eqn.where) if out == eqn.outputs[0].aval else None


@rule(mul_p)
def _mul(eqn: Eqn, made: Made):
    x, y = eqn.inputs
    if type(x) is Lit and type(y) is not Lit:
        x, y = y, x
    exact = x.dtype.kind != "c"  # (a + bi)·(1 + 0i) turns an infinite b into a NaN
    if exact and is_number(y, 1):
        return same(eqn, x)
    if exact and is_number(y, -1):
        return with_inputs(eqn, neg_p, x)
    left, right = made_by(x, neg_p, made), made_by(y, neg_p, made)
    if left and right:
        return with_inputs(eqn, mul_p, left.inputs[0], right.inputs[0])
    if left and type(y) is Lit:
        return with_inputs(eqn, mul_p, left.inputs[0], Lit(-y.value, y.aval))
    return None


@rule(neg_p)
def _neg(eqn: Eqn, made: Made):
    inner = made_by(eqn.inputs[0], neg_p, made)
    if inner:
        return same(eqn, inner.inputs[0])
    inner = made_by(eqn.inputs[0], mul_p, made)
    if inner:
        for k in (0, 1):
            a, b = inner.inputs[k], inner.inputs[1 - k]
            if type(a) is Lit:
                return with_inputs(eqn, mul_p, Lit(-a.value, a.aval), b)
    return None


@rule(add_p)
def _add(eqn: Eqn, made: Made):
    x, y = eqn.inputs
    if x.dtype.kind != "c" and is_number(y, -0.0):
        return same(eqn, x)
    if x.dtype.kind != "c" and is_number(x, -0.0):
        return same(eqn, y)
    if right := made_by(y, neg_p, made):
        return with_inputs(eqn, sub_p, x, right.inputs[0])
    if left := made_by(x, neg_p, made):
        return with_inputs(eqn, sub_p, y, left.inputs[0])
    return None


@rule(sub_p)
def _sub(eqn: Eqn, made: Made):
    x, y = eqn.inputs
    if is_number(y, 0):
        return same(eqn, x)
    if right := made_by(y, neg_p, made):
        return with_inputs(eqn, add_p, x, right.inputs[0])
    return None


@rule(broadcast_p)
def _broadcast(eqn: Eqn, made: Made):
    (x,) = eqn.inputs
    shape, axes = eqn.params["shape"], eqn.params["axes"]
    if x.shape == shape:
        return same(eqn, x)
    inner = made_by(x, broadcast_p, made)
    if inner:
        through = tuple(axes[a] for a in inner.params["axes"])
        return with_inputs(eqn, broadcast_p, inner.inputs[0], shape=shape, axes=through)
    inner = made_by(x, reshape_p, made)
    if inner:
        # A reshape that only puts in axes of length 1: the broadcast puts them in just as well.
        y = inner.inputs[0]
        kept = [a for a, n in enumerate(x.shape) if n != 1]
        if [x.shape[a] for a in kept] == list(y.shape):
            return with_inputs(eqn, broadcast_p, y, shape=shape, axes=tuple(axes[a] for a in kept))
    return None


@rule(reshape_p)
def _reshape(eqn: Eqn, made: Made):
    (x,) = eqn.inputs
    if x.shape == eqn.params["shape"]:
        return same(eqn, x)
    inner = made_by(x, reshape_p, made)
    return with_inputs(eqn, reshape_p, inner.inputs[0], shape=eqn.params["shape"]) if inner else None


@rule(permute_p)
def _permute(eqn: Eqn, made: Made):
    (x,) = eqn.inputs
    order = eqn.params["order"]
    if order == tuple(range(x.ndim)) or made_by(x, eye_p, made):
        return same(eqn, x)
    inner = made_by(x, permute_p, made)
    if inner:
        return with_inputs(eqn, permute_p, inner.inputs[0], order=tuple(inner.params["order"][i] for i in order))
    return None


@rule(reduce_sum_p)
def _reduce_sum(eqn: Eqn, made: Made):
    return same(eqn, eqn.inputs[0]) if not eqn.params["axes"] else None


@rule(dot_general_p)
def _dot_general(eqn: Eqn, made: Made):
    """x · I is x with the contracted axis last, I · y is y with it first. (Not even inf is multiplied by 0.)"""
    x, y = eqn.inputs
    (x_axes, y_axes), batch = eqn.params["contract"], eqn.params["batch"]
    if batch != ((), ()) or len(x_axes) != 1 or eqn.params["out_dtype"] is not None:
        return None
    if made_by(y, eye_p, made):
        order = [a for a in range(x.ndim) if a != x_axes[0]] + [x_axes[0]]
        return with_inputs(eqn, permute_p, x, order=tuple(order))
    if made_by(x, eye_p, made):
        order = [y_axes[0]] + [a for a in range(y.ndim) if a != y_axes[0]]
        return with_inputs(eqn, permute_p, y, order=tuple(order))
    return None
