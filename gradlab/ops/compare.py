"""Comparisons, and `select`, which takes the one or the other."""

from __future__ import annotations

from typing import Any

from ..ir.errors import ShapeError
from ..ir.graph import Aval
from ..ir.primitive import Primitive
from ..trace.builder import bind1
from .costs import EACH
from .families import batch_elementwise, comparison
from .operands import BOOL, dtype_text, fill, or_zeros, same_type, zeros_like


def eq(x: Any, y: Any) -> Any:
    return bind1(eq_p, x, y)


def ne(x: Any, y: Any) -> Any:
    return bind1(ne_p, x, y)


def lt(x: Any, y: Any) -> Any:
    return bind1(lt_p, x, y)


def le(x: Any, y: Any) -> Any:
    return bind1(le_p, x, y)


def gt(x: Any, y: Any) -> Any:
    return bind1(gt_p, x, y)


def ge(x: Any, y: Any) -> Any:
    return bind1(ge_p, x, y)


eq_p = comparison("eq", "{} == {}", commutes=True)
ne_p = comparison("ne", "{} != {}", commutes=True)
lt_p = comparison("lt", "{} < {}", kinds="biuf")
le_p = comparison("le", "{} <= {}", kinds="biuf")
gt_p = comparison("gt", "{} > {}", kinds="biuf")
ge_p = comparison("ge", "{} >= {}", kinds="biuf")


def select(mask: Any, x: Any, y: Any) -> Any:
    """`x` where the boolean `mask` is true, `y` elsewhere. One of them may be a Python number."""
    return bind1(select_p, mask, _filled(x, y), _filled(y, x))


def _filled(x: Any, like: Any) -> Any:
    return fill(x, like.aval) if isinstance(x, bool | int | float | complex) else x


def _select_infer(mask: Aval, x: Aval, y: Aval) -> tuple[Aval]:
    out = same_type("select", x, y)
    if mask.dtype != BOOL or mask.shape != x.shape:
        raise ShapeError(
            f"select needs a boolean mask of its operands' shape, got mask {mask} for {x}. "
            "gradlab.numpy.where converts and broadcasts."
        )
    return (out,)


def _select_jvp(xs, tangents):
    mask, x, y = xs
    _, dx, dy = tangents
    dx, dy = or_zeros((dx, dy), (x, y))
    return (select(mask, x, y),), (select(mask, dx, dy),)


def _select_transpose(cts, active, mask, x, y):
    (ct,) = cts
    zero = zeros_like(ct)
    return None, select(mask, ct, zero) if active[1] else None, select(mask, zero, ct) if active[2] else None


def _select_call(*texts):
    return f"lax.select({', '.join(map(_full_text, texts))})"


def _full_text(text):
    """`text`; where it is only a number, the array full of it."""
    if not text.is_number:
        return text
    dtype = "" if text.aval.weak else f", {dtype_text(text.aval.dtype)}"
    return f"lax.full({text.aval.shape}, {text}{dtype})"


select_p = Primitive(
    name="select",
    infer=_select_infer,
    emit="jnp.where({}, {}, {})".format,
    call=_select_call,
    jvp=_select_jvp,
    transpose=_select_transpose,
    batch=batch_elementwise(lambda: select_p),
    cost=EACH,
    scalars=True,
    fold=lambda mask, x, y: x if mask else y,
)
