"""Contraction: the one bilinear primitive behind every product of matrices and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .convert import convert
from .costs import MOVES, contracts
from .families import add_p, permute_p
from .operands import dtype_text, require_kind

Axes = tuple[int, ...]
Pair = tuple[Axes, Axes]
PRECISIONS = ("default", "high", "highest")


def dot_general(
    x: Any, y: Any, *, contract: Pair, batch: Pair = ((), ()), precision: Any = None, out_dtype: Any = None
) -> Any:
    """Σ x·y over the axes `contract`, for each index of the axes `batch`; XLA's dimension semantics.

    **Arguments:** `contract`, `batch`: axes of x and of y, paired in order. `precision`: None, "default", "high" or
    "highest", or a pair of these. `out_dtype`: the dtype of sum and result where it is not the operands'.
    **Returns:** axes in the order batch, rest of x, rest of y.
    """
    return bind1(
        dot_general_p,
        x,
        y,
        contract=(tuple(contract[0]), tuple(contract[1])),
        batch=(tuple(batch[0]), tuple(batch[1])),
        precision=precision_of(precision),
        out_dtype=None if out_dtype is None else np.dtype(out_dtype),
    )


def precision_of(given: Any) -> None | str | tuple[str, str]:
    """The precision of a product in one normal form: None, a name, or a pair of names."""
    if given is None:
        return None
    if isinstance(given, tuple | list) and len(given) == 2:
        first, second = precision_of(given[0]), precision_of(given[1])
        return (first or "default", second or "default")  # type: ignore[return-value]
    name = str(getattr(given, "name", given)).lower()
    if name not in PRECISIONS:
        raise ArgumentError(f"precision is one of {', '.join(PRECISIONS)}, or a pair of them; got {given!r}.")
    return name


def precision_text(precision: str | tuple[str, str]) -> str:
    """A precision as an expression in emitted code."""
    if isinstance(precision, str):
        return f"lax.Precision.{precision.upper()}"
    return f"({precision_text(precision[0])}, {precision_text(precision[1])})"


def _rest(ndim: int, *taken: Axes) -> Axes:
    return tuple(i for i in range(ndim) if not any(i in axes for axes in taken))


def _infer(x: Aval, y: Aval, *, contract: Pair, batch: Pair, precision: Any, out_dtype: Any) -> tuple[Aval]:
    require_kind("dot_general", x, "biufc")
    sizes = [
        tuple(a.shape[i] if 0 <= i < a.ndim else -1 for i in (*b, *c))
        for a, b, c in zip((x, y), batch, contract, strict=True)
    ]
    distinct = all(len({*b, *c}) == len(b) + len(c) for b, c in zip(batch, contract, strict=True))
    if sizes[0] != sizes[1] or -1 in sizes[0] or not distinct or x.dtype != y.dtype:
        raise ShapeError(
            f"dot_general needs operands of one dtype whose batch and contracted axes pair up in size, got {x} and {y} "
            f"with contract={contract}, batch={batch} (sizes {sizes[0]} and {sizes[1]}). Transpose or convert one."
        )
    free = [tuple(a.shape[i] for i in _rest(a.ndim, b, c)) for a, b, c in zip((x, y), batch, contract, strict=True)]
    shape = (*(x.shape[i] for i in batch[0]), *free[0], *free[1])
    return (Aval(shape, x.dtype if out_dtype is None else out_dtype, x.weak and y.weak and out_dtype is None),)


def _emit(x, y, *, contract, batch, precision, out_dtype):
    if batch == ((), ()) and precision is None and out_dtype is None:
        form = (x.aval.ndim, y.aval.ndim, contract)
        if form == _COLUMNS and y.aval.shape[1] == 1 < x.aval.shape[1]:
            return f"({y}.T @ {x}).T"
        if form == _ROWS and x.aval.shape[0] == 1 < y.aval.shape[0]:
            return f"({y} @ {x}.T).T"
        plain = _PLAIN.get(form)
        if plain is not None:
            return plain.format(x, y)
    return _call(x, y, contract=contract, batch=batch, precision=precision, out_dtype=out_dtype)


def _call(x, y, *, contract, batch, precision, out_dtype):
    extra = ""
    if precision is not None:
        extra += f", precision={precision_text(precision)}"
    if out_dtype is not None:
        extra += f", preferred_element_type={dtype_text(out_dtype)}"
    return f"lax.dot_general({x}, {y}, ({contract}, {batch}){extra})"


# (ndim of x, ndim of y, contracted axes) -> how a person would write it. Where one operand is a single column (or row),
# it is the one to be transposed: XLA's CPU copies a matrix that is transposed for a product with a vector.
_COLUMNS = (2, 2, ((0,), (0,)))
_ROWS = (2, 2, ((1,), (1,)))
_PLAIN = {
    (1, 1, ((0,), (0,))): "{0} @ {1}",
    (2, 1, ((1,), (0,))): "{0} @ {1}",
    (2, 1, ((0,), (0,))): "{1} @ {0}",
    (1, 2, ((0,), (0,))): "{0} @ {1}",
    (1, 2, ((0,), (1,))): "{1} @ {0}",
    (2, 2, ((1,), (0,))): "{0} @ {1}",
    _ROWS: "{0} @ {1}.T",
    _COLUMNS: "{0}.T @ {1}",
}


def _jvp(xs, tangents, **params):
    (x, y), (dx, dy) = xs, tangents
    terms = [bind1(dot_general_p, *pair, **params) for pair in ((dx, y), (x, dy)) if None not in map(_none, pair)]
    tangent = terms[0] if len(terms) == 1 else bind1(add_p, *terms)
    return bind(dot_general_p, x, y, **params), (tangent,)


def _none(x: Any) -> Any:
    return None if x is None else 0


def _cotangent(ct, x, y, contract, batch, ct_y, params):
    """The cotangent of x: the cotangent `ct` of x·y contracted with y over y's free axes, which are `ct_y` in ct."""
    x_free = _rest(len(x.shape), contract[0], batch[0])
    y_free = _rest(len(y.shape), contract[1], batch[1])
    ct_batch = tuple(range(len(batch[0])))
    x_contract = tuple(a for _, a in sorted(zip(contract[1], contract[0], strict=True)))
    if y.dtype != ct.dtype:
        y = convert(y, dtype=ct.dtype)
    first = (*batch[0], *x_free, *x_contract)  # the axes of x in the order in which ct·y has them
    second = (*batch[0], *x_contract, *x_free)  # and y·ct
    if first != tuple(range(len(first))) and second == tuple(range(len(second))):
        out = dot_general(y, ct, contract=(y_free, ct_y), batch=(batch[1], ct_batch), **params)
        order = second
    else:
        out = dot_general(ct, y, contract=(ct_y, y_free), batch=(ct_batch, batch[1]), **params)
        order = first
    if order != tuple(range(len(order))):
        out = bind1(permute_p, out, order=tuple(int(i) for i in np.argsort(order)))
    return out if out.dtype == x.dtype else convert(out, dtype=x.dtype)


def _transpose(cts, active, x, y, *, contract, batch, precision, out_dtype):
    n_batch = len(batch[0])
    n_x = len(x.shape) - n_batch - len(contract[0])
    n_y = len(y.shape) - n_batch - len(contract[1])
    if active[0]:
        of_y = tuple(range(n_batch + n_x, n_batch + n_x + n_y))
        pair = precision[::-1] if isinstance(precision, tuple) else precision
        return _cotangent(cts[0], x, y, contract, batch, of_y, {"precision": pair}), None
    of_x = tuple(range(n_batch, n_batch + n_x))
    return None, _cotangent(cts[0], y, x, contract[::-1], batch[::-1], of_x, {"precision": precision})


def _shifted(axes: Axes, dim: int) -> Axes:
    return tuple(a + (a >= dim) for a in axes)


def _batch(xs, dims, *, contract, batch, **params):
    contract = tuple(c if d is None else _shifted(c, d) for c, d in zip(contract, dims, strict=True))
    batch = tuple(b if d is None else _shifted(b, d) for b, d in zip(batch, dims, strict=True))
    if None not in dims:
        batch = tuple((d, *b) for d, b in zip(dims, batch, strict=True))
        out = 0
    else:
        # The batched operand has one more free axis: nothing is moved or repeated.
        side = 0 if dims[0] is not None else 1
        dim = dims[side]
        out = len(batch[0]) + sum(a < dim for a in _rest(xs[side].ndim, contract[side], batch[side]))
        if side == 1:
            out += len(_rest(xs[0].ndim, contract[0], batch[0]))
    return bind(dot_general_p, *xs, contract=contract, batch=batch, **params), (out,)


dot_general_p = Primitive(
    name="dot_general",
    infer=_infer,
    emit=_emit,
    call=_call,
    jvp=_jvp,
    transpose=_transpose,
    batch=_batch,
    cost=contracts,
)


def eye(n: int, dtype: Any) -> Any:
    """The identity matrix of size n: what a product with it leaves unchanged, `simplify` leaves out."""
    return bind1(eye_p, n=n, dtype=np.dtype(dtype))


_NO_OPERAND = Refused("the identity matrix has no operand, so there is nothing to differentiate or batch it by")

eye_p = Primitive(
    name="eye",
    infer=lambda *, n, dtype: (Aval((n, n), dtype),),
    emit=lambda *, n, dtype: f"jnp.eye({n}, dtype={dtype_text(dtype)})",
    jvp=_NO_OPERAND,
    transpose=_NO_OPERAND,
    batch=_NO_OPERAND,
    cost=MOVES,
)
