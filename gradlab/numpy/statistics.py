"""How variables vary together."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import DTypeError, ShapeError
from ..ir.graph import Aval, is_inexact
from ..ops import convert
from ..ops.guarded import root
from ..ops.operands import kind
from ..trace.avals import canonical_dtype
from .choose import clip
from .dispatch import public
from .elementwise import abs as abs_
from .elementwise import conj
from .manipulation import atleast_2d, concatenate, permuted, squeeze
from .matmul import dot
from .promote import home, result_dtype, retype
from .reductions import average
from .reductions import sum as sum_
from .selection import diag


def _weights(name: str, w: Any, n: int) -> Any:
    if w.ndim > 1 or w.shape != (n,):
        raise ShapeError(f"cov needs one of {name} for each of the {n} observations, got {w.aval}.")
    return abs_(w)


def _inexact(name: str, dtype: Any) -> np.dtype:
    dtype = canonical_dtype(dtype)
    if not is_inexact(dtype):
        raise DTypeError(f"{name} needs a floating or complex dtype, got {dtype}.")
    return dtype


@public("cov")
def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None, fweights: Any = None,
        aweights: Any = None, dtype: Any = None) -> Any:  # fmt: skip
    """`jax.numpy.cov`, on tracers too."""
    x, *others = _variables(m, y, rowvar)
    if not x.shape[0]:
        return x.builder.literal(0.0, Aval((0, 0), x.dtype))
    x = concatenate([x, *others], 0) if others else x
    rows, n = x.shape
    if not n:
        return x.builder.literal(np.nan, Aval(() if rows == 1 else (rows, rows), x.dtype))
    ddof = (0 if bias else 1) if ddof is None else ddof
    fw = None if fweights is None else _weights("fweights", home(x, fweights).operand(fweights, None), n)
    aw = None if aweights is None else _weights("aweights", home(x, aweights).operand(aweights, None), n)
    if fw is not None and fw.dtype.kind not in "iu":
        raise DTypeError(f"fweights count how often an observation was made: integers, got {fw.aval}.")
    w = fw if aw is None else aw if fw is None else fw * aw
    if dtype is not None:
        dtype = _inexact("cov", dtype)
        x, w = retype(x, dtype), None if w is None else retype(w, dtype)
    if w is None:
        mean, left = average(x, 1), n - ddof
    else:
        mean, total = average(x, 1, w, returned=True)
        total = total[0]
        left = total - ddof * (1 if aw is None else sum_(w * aw) / total) if ddof else total
    x = x - mean[:, None]
    weighted = x if w is None else x * w
    return squeeze(dot(x, conj(permuted(weighted, (1, 0)))) / left)


def _variables(m: Any, y: Any, rowvar: bool) -> list[Any]:
    """The observations of m, and of y if it is given, as matrices with a row for each variable."""
    xs = [home(m, y).operand(v, None) for v in (m, y) if v is not None]
    if any(x.ndim > 2 for x in xs):
        raise ShapeError(f"cov needs vectors or matrices, got {', '.join(str(x.aval) for x in xs)}.")
    xs = _promoted(xs)
    out = []
    for k, x in enumerate(xs):
        rows = atleast_2d(x)
        turn = x.ndim != 1 if k == 0 else rows.shape[0] != 1
        out.append(permuted(rows, (1, 0)) if not rowvar and turn else rows)
    return out


def _promoted(xs: list[Any]) -> list[Any]:
    dtype, _ = result_dtype([x.aval for x in xs], inexact=True)
    return [retype(x, dtype) for x in xs]


@public("corrcoef")
def corrcoef(x: Any, y: Any = None, rowvar: bool = True, dtype: Any = None) -> Any:
    """`jax.numpy.corrcoef`, on tracers too."""
    c = cov(x, y, rowvar, dtype=None if dtype is None else _inexact("corrcoef", dtype))
    if not c.ndim:
        return c / c
    variance = diag(c)
    deviation = retype(root(convert.real(variance) if kind(c.dtype) == "c" else variance), c.dtype)
    c = c / deviation[:, None] / deviation[None, :]
    if kind(c.dtype) != "c":
        return clip(c, -1, 1)
    return convert.complex(clip(convert.real(c), -1, 1), clip(convert.imag(c), -1, 1))
