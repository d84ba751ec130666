"""Products of vectors, matrices and tensors, each one `dot_general`."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from ..ir.errors import ShapeError
from ..ops import convert, shape
from ..ops.contract import dot_general
from ..trace.avals import canonical_dtype
from . import axes as ax
from .dispatch import no_sharding, public
from .elementwise import conj
from .manipulation import expand_dims, permuted
from .promote import aval as aval_of
from .promote import broadcast_shapes, home, result_dtype, retype, stretch


def operands(*xs: Any) -> list[Any]:
    """The operands as tracers of one dtype, each with its own shape."""
    avals = [aval_of(x) for x in xs]
    first = avals[0]
    at = home(*xs)
    if all(a.dtype == first.dtype and not a.weak for a in avals):
        return [at.operand(x, None) for x in xs]
    dtype, weak = result_dtype(avals)
    return [retype(at.operand(x, None), dtype, weak) for x in xs]


def _dot(x: Any, y: Any, contract: Any, batch: Any = ((), ()), precision: Any = None, preferred: Any = None) -> Any:
    out_dtype = None if preferred is None or canonical_dtype(preferred) == x.dtype else canonical_dtype(preferred)
    return dot_general(x, y, contract=contract, batch=batch, precision=precision, out_dtype=out_dtype)


def _mismatch(name: str, x: Any, y: Any, m: int, n: int, remedy: str) -> Exception:
    return ShapeError(f"{name} needs the contracted axes to match, got {x.aval} and {y.aval} ({m} != {n}). {remedy}")


@public("matmul")
def matmul(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None,
           out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.matmul`, on tracers too."""
    no_sharding("matmul", out_sharding)
    x, y = operands(a, b)
    if not x.ndim or not y.ndim:
        raise ShapeError(
            f"matmul (@) needs at least one axis on both sides, got {x.aval} and {y.aval}. Multiply with *."
        )
    kx, ky = x.ndim - 1, max(y.ndim - 2, 0)
    if x.shape[kx] != y.shape[ky]:
        raise _mismatch("matmul (@)", x, y, x.shape[kx], y.shape[ky], "Transpose one with .T, or use tensordot.")
    lead_x, lead_y = x.shape[:-2], y.shape[:-2]
    if not lead_x and not lead_y:
        return _dot(x, y, ((kx,), (ky,)), ((), ()), precision, preferred_element_type)
    lead = broadcast_shapes([lead_x, lead_y])
    if not lead_y or math.prod(lead_y) == 1 and len(lead_y) <= len(lead_x):
        # One matrix for all of the batch: no axis of y is repeated, and the result needs no transposition.
        y = shape.reshape(y, y.shape[-2:]) if lead_y else y
        return _dot(x, y, ((kx,), (max(y.ndim - 2, 0),)), ((), ()), precision, preferred_element_type)
    x_batch, y_batch, squeezed_x, squeezed_y = [], [], [], []
    nx, ny, n = len(lead_x), len(lead_y), len(lead)
    for i in range(n):
        ix, iy = i - (n - nx), i - (n - ny)
        has_x, has_y = ix >= 0 and lead_x[ix] != 1, iy >= 0 and lead_y[iy] != 1
        if has_x and has_y or (ix >= 0 and iy >= 0 and lead_x[ix] == lead_y[iy]):
            x_batch.append(ix)
            y_batch.append(iy)
        else:
            squeezed_x += [ix] if ix >= 0 and not has_x else []
            squeezed_y += [iy] if iy >= 0 and not has_y else []
    if squeezed_x or squeezed_y or len(x_batch) != n:
        # A batch axis that only one side has, or that is 1 on one side, stays a free axis: it is moved, not repeated.
        return _matmul_mixed(x, y, lead, precision, preferred_element_type)
    return _dot(x, y, ((kx,), (ky,)), (tuple(x_batch), tuple(y_batch)), precision, preferred_element_type)


def _matmul_mixed(x: Any, y: Any, lead: tuple[int, ...], precision: Any, preferred: Any) -> Any:
    n = len(lead)
    names = list(range(n))

    def own(z: Any, tail: int) -> tuple[Any, list[int]]:
        """z without its batch axes of length 1, and the names of those it keeps."""
        head = z.ndim - tail
        kept = [i for i in range(head) if z.shape[i] != 1 or lead[n - head + i] == 1]
        out = tuple(z.shape[i] for i in [*kept, *range(head, z.ndim)])
        return (z if out == z.shape else shape.reshape(z, out)), [names[n - head + i] for i in kept]

    x_tail, y_tail = min(x.ndim, 2), min(y.ndim, 2)
    x, of_x = own(x, x_tail)
    y, of_y = own(y, y_tail)
    both = [i for i in names if i in of_x and i in of_y]
    batch = (tuple(of_x.index(i) for i in both), tuple(of_y.index(i) for i in both))
    contract = ((x.ndim - 1,), (y.ndim - y_tail,))
    out = _dot(x, y, contract, batch, precision, preferred)
    got = [*both, *(i for i in of_x if i not in both), *["row"] * (x_tail - 1)]
    got += [*(i for i in of_y if i not in both), *["column"] * (y_tail - 1)]
    want = [*names, *["row"] * (x_tail - 1), *["column"] * (y_tail - 1)]
    present = [i for i in want if i in got]
    out = permuted(out, [got.index(i) for i in present])
    return out if len(present) == len(want) else stretch(out, (*lead, *out.shape[len(present) :]))


@public("dot")
def dot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None,
        out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.dot`, on tracers too."""
    no_sharding("dot", out_sharding)
    x, y = operands(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    kx, ky = x.ndim - 1, max(y.ndim - 2, 0)
    if x.shape[kx] != y.shape[ky]:
        raise _mismatch("dot", x, y, x.shape[kx], y.shape[ky], "Transpose one, or name the axes with tensordot.")
    return _dot(x, y, ((kx,), (ky,)), ((), ()), precision, preferred_element_type)


@public("tensordot")
def tensordot(a: Any, b: Any, axes: Any = 2, *, precision: Any = None, preferred_element_type: Any = None,
              out_sharding: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.tensordot`, on tracers too."""
    no_sharding("tensordot", out_sharding)
    x, y = operands(a, b)
    if isinstance(axes, int | np.integer):
        k = operator.index(axes)
        if k > min(x.ndim, y.ndim):
            raise ShapeError(f"tensordot over {k} axes needs that many on both sides, got {x.aval} and {y.aval}.")
        pair = (tuple(range(x.ndim - k, x.ndim)), tuple(range(k)))
    else:
        pair = (ax.several(_tuple(axes[0]), x.ndim, "axes[0]"), ax.several(_tuple(axes[1]), y.ndim, "axes[1]"))
    sizes = [tuple(z.shape[i] for i in at) for z, at in zip((x, y), pair, strict=True)]
    if sizes[0] != sizes[1]:
        raise ShapeError(
            f"tensordot needs contracted axes of equal sizes, got {x.aval} and {y.aval}: {sizes[0]} != {sizes[1]}."
        )
    return _dot(x, y, pair, ((), ()), precision, preferred_element_type)


def _tuple(axes: Any) -> tuple[Any, ...]:
    return tuple(axes) if isinstance(axes, tuple | list) else (axes,)


@public("vdot")
def vdot(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """`jax.numpy.vdot`, on tracers too."""
    x, y = (shape.reshape(z, (z.size,)) for z in operands(a, b))
    x = convert.conj(x) if x.dtype.kind == "c" else x
    return dot(x, y, precision=precision, preferred_element_type=preferred_element_type)


@public("inner")
def inner(a: Any, b: Any, *, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """`jax.numpy.inner`, on tracers too."""
    x, y = operands(a, b)
    if not x.ndim or not y.ndim:
        return x * y
    return tensordot(x, y, (-1, -1), precision=precision, preferred_element_type=preferred_element_type)


@public("outer")
def outer(a: Any, b: Any, out: None = None) -> Any:
    """`jax.numpy.outer`, on tracers too."""
    x, y = operands(a, b)
    return shape.reshape(x, (x.size, 1)) * shape.reshape(y, (1, y.size))


@public("vecdot")
def vecdot(x1: Any, x2: Any, /, *, axis: int = -1, precision: Any = None, preferred_element_type: Any = None) -> Any:
    """`jax.numpy.vecdot`, on tracers too."""
    x, y = operands(x1, x2)
    x, y = (permuted(z, _last(z.ndim, ax.one(axis, z.ndim))) for z in (x, y))
    x = convert.conj(x) if x.dtype.kind == "c" else x
    row, column = shape.reshape(x, (*x.shape[:-1], 1, x.shape[-1])), shape.reshape(y, (*y.shape, 1))
    out = matmul(row, column, precision=precision, preferred_element_type=preferred_element_type)
    return shape.reshape(out, out.shape[:-2])


def _last(ndim: int, axis: int) -> list[int]:
    return [*(i for i in range(ndim) if i != axis), axis]


@public("matvec")
def matvec(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.matvec`, on tracers too: matrices by vectors."""
    x, y = operands(x1, x2)
    return matmul(x, y) if y.ndim == 1 and x.ndim > 1 else matmul(x, expand_dims(y, -1))[..., 0]


@public("vecmat")
def vecmat(x1: Any, x2: Any, /) -> Any:
    """`jax.numpy.vecmat`, on tracers too: conjugated vectors by matrices."""
    return matmul(expand_dims(conj(x1), -2), x2)[..., 0, :]


@public("kron")
def kron(a: Any, b: Any) -> Any:
    """`jax.numpy.kron`, on tracers too."""
    x, y = operands(a, b)
    ndim = max(x.ndim, y.ndim)
    x, y = (shape.reshape(z, (1,) * (ndim - z.ndim) + z.shape) for z in (x, y))
    left = shape.reshape(x, tuple(n for s in x.shape for n in (s, 1)))
    right = shape.reshape(y, tuple(n for s in y.shape for n in (1, s)))
    return shape.reshape(left * right, tuple(m * n for m, n in zip(x.shape, y.shape, strict=True)))


@public("cross")
def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """`jax.numpy.cross`, on tracers too."""
    axisa, axisb, axisc = (axisa, axisb, axisc) if axis is None else (axis, axis, axis)
    x, y = operands(a, b)
    x, y = (permuted(z, _last(z.ndim, ax.one(i, z.ndim))) for z, i in ((x, axisa), (y, axisb)))
    if x.shape[-1] not in (2, 3) or y.shape[-1] not in (2, 3):
        raise ShapeError(f"cross needs vectors of 2 or 3 components, got {x.aval} and {y.aval} along their last axes.")
    (x0, x1, *x2), (y0, y1, *y2) = (tuple(z[..., i] for i in range(z.shape[-1])) for z in (x, y))
    if not x2 and not y2:
        return x0 * y1 - x1 * y0
    zero = x0 * 0
    x2, y2 = x2[0] if x2 else zero, y2[0] if y2 else zero
    parts = [x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0]
    wide = broadcast_shapes([p.shape for p in parts])
    out = shape.concatenate([shape.reshape(stretch(p, wide), (*wide, 1)) for p in parts], len(wide))
    to = ax.one(axisc, out.ndim)
    order = list(range(out.ndim - 1))
    order.insert(to, out.ndim - 1)
    return permuted(out, order)
