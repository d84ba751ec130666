"""Least squares within a trust region: Levenberg–Marquardt steps or a Gauss–Newton dogleg, with bounds and any loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .losses import cost, reweighted
from .method import RUNNING, Method, blank
from .options import COUNT, Number
from .residuals import BoundResiduals
from .result import Status
from .subproblem import Spectrum, Step, conjugate_step, dogleg_step, exact_step, newton_length

_SUSPICIOUS = 6  # refusals in a row that rounding alone does not explain
_NOISE = 10  # rounding errors of the cost's size that a difference of two values may hold
_PASSES = 8  # how often a step is found again after some of its variables met their bounds


class Seen(NamedTuple):
    """What the loop of iterate.py hands on in place of a gradient: the residuals at the trial point."""

    r: Any


class State(NamedTuple):
    """`method.State`, and what the trust region carries besides.

    **Attributes:** `r` (m,), `jacobian` (m, n) or None: of the cost's Gauss–Newton model at `x`; `scale` (n,): the
    largest norms its columns have had; `radius`, `predicted`, `length`, `refused`, `products` as in the trust region,
    lengths as ‖scale·p‖; `n_jacobians`.
    """

    trial: Any
    x: Any
    f: Any
    g: Any
    gnorm: Any
    step: Any
    n_iters: Any
    status: Any
    r: Any
    jacobian: Any
    scale: Any
    radius: Any
    predicted: Any
    length: Any
    refused: Any
    size0: Any
    products: Any
    n_jacobians: Any


class Cost(BoundResiduals):
    """Residuals under a loss, as the loop of iterate.py asks for them: `Seen` stands for the gradient."""

    def __init__(self, residuals: Any, rest: tuple, lower: Any, upper: Any, loss: Any, f_scale: float):
        super().__init__(residuals, rest, lower, upper)
        self.loss, self.f_scale = loss, f_scale

    def value_and_grad(self, x: jax.Array) -> tuple[jax.Array, Seen]:
        r = self.residuals(x)
        return cost(self.loss, self.f_scale, r), Seen(r)

    def gradient(self, x: jax.Array) -> jax.Array:
        """∂cost/∂x (n,)."""
        r, pull = self.pulling(x)
        return pull(jax.grad(lambda r: cost(self.loss, self.f_scale, r))(r))

    def optimality(self, x: jax.Array, g: Any) -> jax.Array:
        """Of a gradient: ‖g‖∞, along the bounds where there are any; of residuals: ‖r‖∞, to see that it is finite."""
        if isinstance(g, Seen):
            return jnp.max(jnp.abs(g.r), initial=0)
        if self.lower is not None:
            g = jnp.clip(x - g, self.lower, self.upper) - x
        return jnp.max(jnp.abs(g), initial=0)

    def aux(self, x: jax.Array) -> tuple:
        return ()


@dataclass(frozen=True)
class LevenbergMarquardt(Method):
    """One evaluation of the residuals a trial, one Jacobian an iteration.

    **Attributes:** `loss`, `f_scale`: as in `least_squares`; `path`: how a step follows the radius, "lm" or "dogleg";
    `dense`: whether the Jacobian is formed, or only products with it (and conjugate gradients) are used;
    `max_products`: of one run of conjugate gradients.
    **Source:** Moré, *The Levenberg–Marquardt algorithm* (1978): the region is a ball in x scaled by the Jacobian's
    columns, so units do not matter. With bounds the step is that of the variables that are free, found again without
    those it would take out of the box, and at least a tenth as good as the projected gradient's.
    """

    loss: str | Callable[[Any], Any] = "linear"
    f_scale: float = 1.0
    path: str = "lm"
    dense: bool = True
    max_products: int = 20_000

    bounded: ClassVar[bool] = True
    needs: ClassVar[Mapping[str, Number]] = {
        "f_scale": Number(above=0, below=float("inf")),
        "max_products": COUNT,
    }

    def init(self, problem: Any, x0: jax.Array) -> State:
        dtype, none = problem.dtype, jnp.zeros((), jnp.int32)
        zero = jnp.zeros((), dtype)
        x0 = x0.astype(dtype)
        return State(
            **blank(problem, x0), r=jnp.zeros((problem.m,), dtype),
            jacobian=jnp.zeros((problem.m, problem.n), dtype) if self.dense else None, scale=jnp.zeros_like(x0),
            radius=zero, predicted=zero, length=zero, refused=none, size0=zero, products=none, n_jacobians=none,
        )  # fmt: skip

    def tell(self, problem: Any, state: State, f: jax.Array, g: Any) -> State:
        first = jnp.isinf(state.f)
        finite = jnp.isfinite(f)
        noise = _NOISE * problem.eps * jnp.abs(state.f)
        seen = ~(state.predicted <= noise)
        ratio = (state.f - f) / state.predicted
        likely = finite & (first | jnp.where(seen, ratio > 1e-4, f <= state.f + noise))

        def looked(_: Any) -> tuple:
            r, gradient, jacobian, columns = self._model(problem, state.trial, g.r)
            gnorm = problem.optimality(state.trial, gradient)
            # A step too small to be seen in the cost must be seen in the gradient.
            good = jnp.isfinite(gnorm) & (seen | first | (gnorm < state.gnorm))
            scale = jnp.maximum(columns, state.scale)
            new = (state.trial, f, gradient, gnorm, r, jacobian, scale)
            old = (state.x, state.f, state.g, state.gnorm, state.r, state.jacobian, state.scale)
            return good, *jax.tree_util.tree_map(lambda a, b: jnp.where(good, a, b), new, old)

        def refusing(_: Any) -> tuple:
            held = (state.x, state.f, state.g, state.gnorm, state.r, state.jacobian, state.scale)
            return jnp.zeros((), bool), *held

        accept, x, f_now, gradient, gnorm, r, jacobian, scale = lax.cond(likely, looked, refusing, None)
        finite = finite & (accept | ~likely | ~seen)

        slope, change = jnp.vdot(state.g, state.trial - state.x), f - state.f
        lowest = -slope / (2 * (change - slope))
        shrink = jnp.where(finite, jnp.clip(jnp.where(change > slope, lowest, 0.5), 0.1, 0.5), 0.1)
        poor = ~finite | (seen & (ratio < 0.25))
        radius = jnp.where(seen & (ratio > 0.75), jnp.maximum(state.radius, 2 * state.length), state.radius)
        radius = jnp.where(poor, shrink * state.length, radius)
        weight = jnp.where(scale > 0, scale, 1)
        size0 = jnp.where(first, jnp.linalg.norm(gradient), state.size0)
        radius, step = self._step(problem, x, r, gradient, jacobian, weight, radius, first, size0)
        trial = x + step.p
        if problem.lower is not None:
            trial = jnp.clip(trial, problem.lower, problem.upper)

        refused = jnp.where(accept, 0, state.refused + 1)
        failed = jnp.where(refused > _SUSPICIOUS, Status.LINE_SEARCH_FAILED, Status.PRECISION_LIMIT)
        failed = jnp.where(finite, failed, Status.NONFINITE)
        over = (~seen & ~accept) | jnp.all(trial == x)
        status = jnp.where(over & ~first, failed, RUNNING)
        return State(
            trial=trial, x=x, f=f_now, g=gradient, gnorm=gnorm, step=jnp.where(accept, state.length, state.step),
            n_iters=state.n_iters + (accept & ~first), status=status.astype(jnp.int32), r=r, jacobian=jacobian,
            scale=scale, radius=radius, predicted=step.decrease, length=step.length, refused=refused, size0=size0,
            products=state.products + step.products, n_jacobians=state.n_jacobians + likely,
        )  # fmt: skip

    def _model(self, problem: Any, x: Any, r: Any) -> tuple:
        """(residuals, gradient, Jacobian or None, norms of its columns) of the Gauss–Newton model at x."""
        r, weights = reweighted(self.loss, self.f_scale, r)
        if not self.dense:
            _, pull = problem.pulling(x)
            return r, pull(weights * r), None, jnp.ones_like(x)
        jacobian = problem.jacobian(x)
        # Norms before the loss: where most residuals count as outliers, little of the weighted columns is left.
        columns = jnp.sqrt(jnp.sum(jacobian * jacobian, axis=0))
        jacobian = weights[:, None] * jacobian
        return r, r @ jacobian, jacobian, columns

    def _step(self, problem, x, r, g, jacobian, weight, radius, first, size0) -> tuple[Any, Step]:
        """(the radius, which is only chosen here at the start; the step)."""
        if not problem.n:
            zero = jnp.zeros((), x.dtype)
            return radius, Step(x, zero, zero, jnp.zeros((), jnp.int32))
        size = jnp.linalg.norm(weight * x)
        if not self.dense:
            radius = jnp.where(first, jnp.where(size > 0, size, jnp.linalg.norm(g)), radius)
            _, push = problem.pushing(x)
            r_at, pull = problem.pulling(x)
            _, weights = reweighted(self.loss, self.f_scale, r_at)
            tolerance = jnp.minimum(0.1, jnp.sqrt(jnp.linalg.norm(g) / size0))

            def product(v: Any) -> Any:
                return pull(weights * weights * push(v))

            return radius, conjugate_step(product, g, radius, tolerance, self.max_products)
        model = singular(jacobian / weight, r)
        radius = jnp.where(first, jnp.where(size > 0, size, newton_length(model)), radius)
        if problem.lower is None:
            step = self._within(model, radius)
            return radius, step._replace(p=step.p / weight)
        return radius, self._boxed(problem, x, r, g, jacobian, weight, radius)

    def _within(self, model: Spectrum, radius: Any) -> Step:
        # Eigenvalues are squares of singular values here, and as exact as those.
        floor = float(jnp.finfo(model.eigenvalues.dtype).eps) ** 2
        return dogleg_step(model, radius, floor) if self.path == "dogleg" else exact_step(model, radius, floor)

    def _boxed(self, problem, x, r, g, jacobian, weight, radius) -> Step:
        lower, upper = problem.lower, problem.upper
        free = ~(((x <= lower) & (g > 0)) | ((x >= upper) & (g < 0)))

        def again(carry: Any) -> Any:
            k, free, fixed, _, _ = carry
            model = singular(jnp.where(free, jacobian / weight, 0), r + jacobian @ fixed)
            p = jnp.where(free, self._within(model, radius).p / weight, fixed)
            y = x + p
            out = free & ((y < lower) | (y > upper))
            p = jnp.clip(y, lower, upper) - x
            return k + 1, free & ~out, jnp.where(out, p, fixed), p, jnp.any(out)

        start = (0, free, jnp.zeros_like(x), jnp.zeros_like(x), jnp.ones((), bool))
        p = lax.while_loop(lambda c: c[4] & (c[0] < _PASSES), again, start)[3]
        scaled = jnp.where(free, g / weight, 0)
        length = jnp.linalg.norm(scaled)
        steepest = -scaled / weight * (radius / jnp.where(length > 0, length, 1))
        steepest = jnp.clip(x + steepest, lower, upper) - x

        def lowest_on(p: Any) -> tuple[Any, Any]:
            """The model's minimum between x and x + p, and how far it falls."""
            slope, bend = -jnp.vdot(g, p), jnp.sum((jacobian @ p) ** 2)
            share = jnp.clip(slope / jnp.where(bend > 0, bend, 1), 0, 1)
            share = jnp.where(bend > 0, share, 1)
            return share * p, share * slope - share * share * bend / 2

        p, decrease = lowest_on(p)
        other, surely = lowest_on(steepest)
        better = decrease >= 0.1 * surely
        p, decrease = jnp.where(better, p, other), jnp.where(better, decrease, surely)
        return Step(p, jnp.linalg.norm(weight * p), decrease, jnp.zeros((), jnp.int32))


def singular(jacobian: jax.Array, r: jax.Array) -> Spectrum:
    """The spectrum of JᵀJ, and Jᵀr in its basis, by the singular values of J, so that squaring loses no digits."""
    m, n = jacobian.shape
    safe = jnp.where(jnp.all(jnp.isfinite(jacobian)), jacobian, 0)
    if m > n + 1:
        # A triangle with the same singular values; the last column becomes Qᵀr.
        both = jnp.linalg.qr(jnp.concatenate([safe, r[:, None]], axis=1), mode="r")
        safe, r = both[:n, :n], both[:n, n]
    u, s, vt = jnp.linalg.svd(safe, full_matrices=False)
    return Spectrum((s * s)[::-1], vt.T[:, ::-1], (s * (r @ u))[::-1])
