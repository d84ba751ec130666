"""Running sums, products, extrema; and the one linear recurrence that is the derivative of all of them but the sum.

The derivative of y[k] = f(y[k-1], x[k]) is the recurrence dy[k] = a[k]·dy[k-1] + b[k], with b[k] = ∂f/∂x[k]·dx[k].
`recur` solves it by an associative scan, is linear in b, and its own derivatives are recurrences again. That of a
product has b[k] = y[k-1]·dx[k] and a word of its own, `product_slopes`, as one tree serves both scans. So no division
stands in the derivative of a running product, and zeros in it are right to every order.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..ir.graph import Aval
from ..ir.primitive import Primitive, Refused
from ..trace.builder import bind, bind1
from .arith import add, exp, mul, sub
from .compare import eq, ne, select
from .costs import multiplies_duals, recurs, scans, scans_exp
from .families import aligned, linear
from .operands import fill, require_axes, require_kind, same_type, zeros_like
from .products import pull_products
from .shape import pad

NAN, INF = math.nan, math.inf


def shifted(x: Any, first: float, axis: int, reverse: bool) -> Any:
    """x[k-1] at k, and `first` where the scan begins (at the other end if `reverse`)."""
    low, high = [0] * x.ndim, [0] * x.ndim
    low[axis], high[axis] = (-1, 1) if reverse else (1, -1)
    return pad(x, first, low, high) if x.shape[axis] else x


# -- the recurrence


def recur(a: Any, b: Any, *, axis: int, reverse: bool) -> Any:
    """h[k] = a[k]·h[k-1] + b[k] along `axis`, from h[-1] = 0; from the other end if `reverse`."""
    return bind1(recur_p, a, b, axis=axis, reverse=reverse)


def _recur_infer(a: Aval, b: Aval, *, axis: int, reverse: bool) -> tuple[Aval]:
    require_kind("recur", a, "fc")
    require_axes("recur", a, (axis,))
    return (same_type("recur", a, b),)


def _recur_emit(a, b, *, axis, reverse):
    back = ", reverse=True" if reverse else ""
    step = "lambda p, q: (p[0] * q[0], q[0] * p[1] + q[1])"
    return f"lax.associative_scan({step}, ({a}, {b}), axis={axis}{back})[1]"


def _recur_jvp(xs, ts, *, axis, reverse):
    (a, _), (da, db) = xs, ts
    h = bind1(recur_p, *xs, axis=axis, reverse=reverse)
    if da is not None:
        moved = mul(da, shifted(h, 0.0, axis, reverse))
        db = moved if db is None else add(moved, db)
    return (h,), (recur(a, db, axis=axis, reverse=reverse),)


def _recur_transpose(cts, active, a, b, *, axis, reverse):
    if active[0]:
        return Refused("recur is linear in its second operand only")()
    return None, recur(shifted(a, 0.0, axis, not reverse), cts[0], axis=axis, reverse=not reverse)


def _recur_batch(xs, dims, *, axis, reverse):
    xs, to = aligned(xs, dims)
    return bind(recur_p, *xs, axis=axis + (axis >= to), reverse=reverse), (to,)


recur_p = Primitive(
    name="recur",
    infer=_recur_infer,
    emit=_recur_emit,
    jvp=_recur_jvp,
    transpose=_recur_transpose,
    batch=_recur_batch,
    cost=recurs,
)


# -- the family


def _cumulative(
    name: str,
    kinds: str,
    jvp: Callable[..., Any],
    transpose: Callable[..., Any] | None = None,
    emit: str | None = None,
    cost: Callable[..., Any] = scans,
) -> Primitive:
    """y[k] = reduce(x[..k]) along `axis` (x[k..] if `reverse`), of x's shape and dtype."""

    def infer(x: Aval, *, axis: int, reverse: bool) -> tuple[Aval]:
        require_kind(name, x, kinds)
        require_axes(name, x, (axis,))
        return (x,)

    call = emit or f"lax.{name}({{}}, {{}}{{}})"
    prim = Primitive(
        name=name,
        infer=infer,
        emit=lambda x, *, axis, reverse: call.format(x, axis, ", reverse=True" if reverse else ""),
        jvp=jvp,
        transpose=transpose or Refused(f"{name} is not linear; only linear equations are transposed"),
        batch=lambda xs, dims, *, axis, reverse: (
            bind(prim, *xs, axis=axis + (axis >= dims[0]), reverse=reverse),
            dims,
        ),
        cost=cost,
    )
    return prim


def _jvp(prim: Callable[[], Primitive], recurrence: Callable[..., tuple[Any, Any]]) -> Callable[..., Any]:
    """The jvp from `recurrence(x, t, y, axis, reverse) -> (a, b)`."""

    def jvp(xs, ts, *, axis, reverse):
        (y,) = bind(prim(), *xs, axis=axis, reverse=reverse)
        return (y,), (recur(*recurrence(xs[0], ts[0], y, axis, reverse), axis=axis, reverse=reverse),)

    return jvp


def cumsum(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """Σ x[..k]."""
    return bind1(cumsum_p, x, axis=axis, reverse=reverse)


cumsum_p = _cumulative(
    "cumsum",
    kinds="iufc",
    jvp=linear(lambda: cumsum_p),
    transpose=lambda cts, active, x, *, axis, reverse: bind(cumsum_p, cts[0], axis=axis, reverse=not reverse),
)


def cumprod(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """∏ x[..k]; its derivative is right where elements are 0."""
    return bind1(cumprod_p, x, axis=axis, reverse=reverse)


def _cumprod_jvp(xs, ts, *, axis, reverse):
    y = cumprod(*xs, axis=axis, reverse=reverse)
    return (y,), (product_slopes(*xs, *ts, axis=axis, reverse=reverse, back=False),)


cumprod_p = _cumulative("cumprod", kinds="iufc", jvp=_cumprod_jvp)


def product_slopes(x: Any, t: Any, *, axis: int, reverse: bool, back: bool) -> Any:
    """The tangent of cumprod(x) for the tangent t of x; or, `back`, the cotangent of x for the cotangent t of that."""
    return bind1(product_slopes_p, x, t, axis=axis, reverse=reverse, back=back)


def _slopes_infer(x: Aval, t: Aval, *, axis: int, reverse: bool, back: bool) -> tuple[Aval]:
    require_kind("product_slopes", x, "fc")
    require_axes("product_slopes", x, (axis,))
    return (same_type("product_slopes", x, t),)


def _slopes_emit(x, t, *, axis, reverse, back):
    if back:
        return f"{pull_products.__name__}({x}, {t}, {axis}, {reverse})"
    # Products of dual numbers: XLA finds their first parts in the running product beside it.
    step = "lambda p, q: (p[0] * q[0], p[1] * q[0] + p[0] * q[1])"
    return f"lax.associative_scan({step}, ({x}, {t}), axis={axis}{', reverse=True' if reverse else ''})[1]"


def _slopes_jvp(xs, ts, *, axis, reverse, back):
    (x, t), (dx, dt) = xs, ts
    params = {"axis": axis, "reverse": reverse}
    out = product_slopes(x, t, **params, back=back)
    moved = None if dt is None else product_slopes(x, dt, **params, back=back)
    if dx is not None:
        before = shifted(cumprod(x, **params), 1.0, **params)
        moved_before = shifted(product_slopes(x, dx, **params, back=False), 0.0, **params)
        if back:  # out = before · h, where h[k] = x[k+1]·h[k+1] + t[k]
            params["reverse"] = not reverse
            a = shifted(x, 0.0, **params)
            h = recur(a, t, **params)
            moved_h = recur(a, mul(shifted(dx, 0.0, **params), shifted(h, 0.0, **params)), **params)
            by_x = add(mul(moved_before, h), mul(before, moved_h))
        else:  # out[k] = x[k]·out[k-1] + before[k]·t[k]
            by_x = recur(x, add(mul(dx, shifted(out, 0.0, **params)), mul(moved_before, t)), **params)
        moved = by_x if moved is None else add(moved, by_x)
    return (out,), (moved,)


def _slopes_transpose(cts, active, x, t, *, axis, reverse, back):
    if active[0]:
        return Refused("product_slopes is linear in its second operand only")()
    return None, product_slopes(x, cts[0], axis=axis, reverse=reverse, back=not back)


def _slopes_batch(xs, dims, *, axis, reverse, back):
    xs, to = aligned(xs, dims)
    return bind(product_slopes_p, *xs, axis=axis + (axis >= to), reverse=reverse, back=back), (to,)


product_slopes_p = Primitive(
    name="product_slopes",
    infer=_slopes_infer,
    emit=_slopes_emit,
    jvp=_slopes_jvp,
    transpose=_slopes_transpose,
    batch=_slopes_batch,
    cost=multiplies_duals,
    helper=pull_products,
)


def cummax(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """max x[..k]; where several are largest, the derivative is that of the first (lowest) index."""
    return bind1(cummax_p, x, axis=axis, reverse=reverse)


def cummin(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """min x[..k]; where several are smallest, the derivative is that of the first (lowest) index."""
    return bind1(cummin_p, x, axis=axis, reverse=reverse)


def _record_holder(x, t, y, axis, reverse):
    # Forwards a tie keeps the holder, backwards the newcomer has the lower index and takes over.
    new = eq(x, y) if reverse else ne(y, shifted(y, NAN, axis, reverse))
    return select(new, zeros_like(x), fill(1.0, x.aval)), select(new, t, zeros_like(x))


cummax_p = _cumulative("cummax", kinds="iuf", jvp=_jvp(lambda: cummax_p, _record_holder))
cummin_p = _cumulative("cummin", kinds="iuf", jvp=_jvp(lambda: cummin_p, _record_holder))


def cumlogsumexp(x: Any, *, axis: int, reverse: bool = False) -> Any:
    """log Σ exp x[..k], of real x; −inf and derivative 0 as long as all are −inf."""
    return bind1(cumlogsumexp_p, x, axis=axis, reverse=reverse)


def share(part: Any, whole: Any) -> Any:
    """exp(part − whole), a summand's share in a sum of exponentials: 0 of an empty sum, 1 if it is infinite."""
    inside = select(eq(whole, fill(-INF, whole.aval)), zeros_like(whole), whole)
    return exp(select(eq(part, fill(INF, part.aval)), zeros_like(part), sub(part, inside)))


def _log_sum(x, t, y, axis, reverse):
    return share(shifted(y, -INF, axis, reverse), y), mul(share(x, y), t)


cumlogsumexp_p = _cumulative(
    "cumlogsumexp",
    kinds="f",
    jvp=_jvp(lambda: cumlogsumexp_p, _log_sum),
    # lax.cumlogsumexp says the same and takes ten to forty times as long on CPU.
    emit="lax.associative_scan(jnp.logaddexp, {}, axis={}{})",
    cost=scans_exp,
)
