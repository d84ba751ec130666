"""What a solver answers: the point, how good it is, why it stopped there, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

import jax
import numpy as np

from ..trace.avals import is_jax_tracer


class Status(IntEnum):
    """Why a solver stopped. `text` says what happened and what to do; positive members are answers."""

    text: str

    def __new__(cls, value: int, text: str) -> Status:
        member = int.__new__(cls, value)
        member._value_ = value
        member.text = text
        return member

    def __str__(self) -> str:
        return self.name

    RUNNING = 0, "still running: the solver has not stopped yet."
    CONVERGED_GRADIENT = 1, "converged: the gradient is within gtol of zero (along the bounds, where there are any)."
    CONVERGED_VALUE = (
        2,
        (
            "converged: the last step lowered f by less than ftol of its size. If the gradient is still too "
            "large, lower "
            "ftol."
        ),
    )
    CONVERGED_STEP = (
        3,
        ("converged: the last step was shorter than xtol of x. If the gradient is still too large, lower xtol."),
    )
    STATIONARY_START = (
        4,
        (
            "x0 is stationary: the gradient is within gtol of zero there, and no step was taken. That may be a "
            "saddle or a "
            "maximum. Start elsewhere (x0 plus a small random step), or look at the eigenvalues of "
            "gradlab.hessian(f)(x0)."
        ),
    )
    CONVERGED_RESIDUAL = 5, "converged: the residuals are within tolerance of zero."
    PRECISION_LIMIT = (
        6,
        (
            "precision limit reached: no step lowers f by more than rounding moves it; the gradient is noise at this "
            "dtype. The best point met is returned. For more digits use float64, scale f and x to sizes near "
            "1, or accept "
            "it with a larger gtol."
        ),
    )
    MAX_ITERS = (
        -1,
        (
            "stopped after max_iters iterations, before converging. Raise max_iters and start from the "
            "returned x; if the "
            "gradient falls only slowly, the problem is ill-conditioned: scale the variables, or use "
            'method="newton-cg".'
        ),
    )
    MAX_EVALS = (
        -2,
        (
            "stopped after max_evals evaluations of f, before converging. Raise max_evals and start from the "
            "returned x; "
            'if the gradient falls only slowly, scale the variables, or use method="newton-cg".'
        ),
    )
    LINE_SEARCH_FAILED = (
        -3,
        (
            "line search failed: f does not fall along a direction as its gradient says. Compare the gradient "
            "with finite differences; a wrong custom rule, a kink or noise in f does this, and so does a gradient that "
            "was clipped or scaled on its way here."
        ),
    )
    NONFINITE_START = (
        -4,
        (
            "f or its gradient is not finite at x0, so there is no direction to go. Choose an x0 inside the domain; "
            "jax.debug_nans finds the operation."
        ),
    )
    NONFINITE = (
        -5,
        (
            "f or its gradient became non-finite and stayed so however short the step was made; x is the last "
            "point where "
            "both were finite. Bound the variables, or write f so that it is finite nearby."
        ),
    )
    UNBOUNDED = (
        -6,
        (
            "f seems unbounded below: it fell without end along the last direction. Check the sign of f, or "
            "add bounds or "
            "a regularising term."
        ),
    )
    CALLBACK = -7, "the callback asked to stop; the point it saw is returned."
    ILL_CONDITIONED = (
        -10,
        (
            "stopped after max_iters iterations or max_evals evaluations, before converging, and f is ill-conditioned: "
            "its curvature along some steps was more than 1,000 times that along others. Going on helps little; use "
            'method="newton-cg" (or "trust-region" for few variables), or scale the variables.'
        ),
    )
    NO_ROOT = (
        -9,
        (
            "stopped at a minimum of the equations' size that is not zero: there is no root near here. Start "
            "elsewhere, or "
            "use gradlab.optim.least_squares if the smallest size is what you want."
        ),
    )


def status_text(code: int, n_nonfinite: int = 0, projected: bool = False) -> str:
    """The text of a status, with notes on what happened on the way."""
    text = Status(code).text
    if n_nonfinite and code not in (Status.NONFINITE, Status.NONFINITE_START):
        text += f" f was not finite at {n_nonfinite} trial points; the solver recovered by shorter steps."
    if projected:
        text += " x0 was outside the bounds and was moved to the nearest point within them."
    return text


class History(NamedTuple):
    """One row an iteration, row 0 the start; rows beyond `n_iters` hold nan.

    **Attributes:** `f`: the value; `gnorm`: ‖g‖∞; `step`: the step size along the direction (0 at the start);
    `n_evals`: evaluations up to here (−1 beyond the end).
    """

    f: Any
    gnorm: Any
    step: Any
    n_evals: Any


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Result:
    """The answer of a solver, a pytree: it passes through jit, vmap and grad, one more axis on everything in a batch.

    **Attributes:** `x`: the best point, with the structure and dtypes of x0; `f`: the value there []; `grad`: the
    gradient there, like x; `gnorm`: what was compared with gtol: ‖g‖∞, with bounds that of the projected gradient;
    `code`: `status` as an integer array; `n_iters`, `n_evals`: iterations, and evaluations of f truly made;
    `n_nonfinite`: how many of them were not finite; `projected`: with bounds, whether x0 was outside them; `history`: a
    `History` where it was asked for; `aux`: the auxiliary value at x, with has_aux; `active`: with bounds, per entry
    of x −1 at its lower, 1 at its upper bound, else 0; `extra`: what a method adds (least_squares: the Jacobian, ...).
    """

    x: Any
    f: Any
    grad: Any
    gnorm: Any
    code: Any
    n_iters: Any
    n_evals: Any
    n_nonfinite: Any = 0
    projected: Any = None
    history: History | None = None
    aux: Any = None
    active: Any = None
    extra: Any = None

    @classmethod
    def of(cls, values: dict[str, Any]) -> Result:
        """The result with these fields, all of them, in a fifth of the time that `__init__` takes."""
        self = object.__new__(cls)
        vars(self).update(values)
        return self

    @property
    def status(self) -> Any:
        """The `Status`; for a batch, an array of its integers; inside jit, as JAX's tracer has it."""
        if is_jax_tracer(self.code) or np.ndim(self.code):
            return self.code
        return Status(int(self.code))

    @property
    def message(self) -> Any:
        """What happened and what to do; for a batch, a list of that."""
        code = np.asarray(self.code)
        if not code.ndim:
            return status_text(int(code), int(self.n_nonfinite), bool(self.projected))
        rows = (np.broadcast_to(np.asarray(x), code.shape).ravel() for x in (code, self.n_nonfinite, self.projected))
        return [status_text(int(c), int(n), bool(p)) for c, n, p in zip(*rows, strict=True)]

    @property
    def success(self) -> Any:
        """Whether the solver has an answer: converged, stationary at the start, or at the limit of precision."""
        good = self.code > 0
        return good if is_jax_tracer(good) or np.ndim(good) else bool(good)

    def __str__(self) -> str:
        if is_jax_tracer(self.code) or np.ndim(self.code):
            return repr(self)
        return (
            f"{self.status.name}: {self.message}\n  f = {float(self.f):.10g}, largest gradient entry "
            f"{float(self.gnorm):.3g}, {int(self.n_iters)} iterations, {int(self.n_evals)} evaluations"
        )
