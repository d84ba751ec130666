"""The loop of every minimiser: evaluate f at the trial point, tell the method, test for the end."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .footprint import array_type
from .method import Method, Problem
from .result import History, Status


class Limits(NamedTuple):
    """When to stop; numbers of the run, not of the program.

    **Attributes:** `tols` (2,): gtol, ftol; `counts` (2,) int32: max_iters, max_evals; `xtol` (): None where steps are
    not looked at.
    """

    tols: Any
    counts: Any
    xtol: Any = None

    def concrete(self) -> bool:
        """Whether these are arrays, and no tracers."""
        array, xtol = array_type(), self.xtol
        return type(self.tols) is type(self.counts) is array and (xtol is None or type(xtol) is array)


class Ran(NamedTuple):
    """The loop's carry: the method's state, what was counted, and the history if it is recorded."""

    state: Any
    n_evals: Any
    n_nonfinite: Any
    history: History | None


def start(problem: Problem, method: Method, x0: jax.Array, rows: int) -> Ran:
    """The carry before the first evaluation; `rows`: how many rows of history are kept (0: none)."""
    zero = jnp.zeros((), jnp.int32)
    nans = jnp.full((rows,), jnp.nan, problem.dtype)
    history = History(nans, nans, nans, jnp.full((rows,), -1, jnp.int32)) if rows else None
    return Ran(method.init(problem, x0), zero, zero, history)


def solve(problem: Any, method: Method, x0: jax.Array, limits: Limits, rows: int = 0, apart: bool = False) -> Ran:
    """The carry at the end. One `lax.while_loop`, one evaluation of f a trip.

    **Arguments:** `apart`: evaluate f in a branch, as one part of the program. XLA writes a computation into each loop
    over an array that reads it; a branch is where it does not.
    """

    def nothing(x: Any) -> tuple:
        return jnp.zeros((), problem.dtype), jnp.zeros_like(x)

    def turn(ran: Ran) -> Ran:
        trial = ran.state.trial
        found = lax.cond(_running(ran), problem.value_and_grad, nothing, trial) if apart else None
        return told(problem, method, limits, ran, *(found or problem.value_and_grad(trial)))

    return lax.while_loop(_running, turn, start(problem, method, x0, rows))


def _running(ran: Ran) -> Any:
    return ran.state.status == Status.RUNNING


def trip(problem: Problem, method: Method, limits: Limits, ran: Ran) -> Ran:
    """One evaluation and what follows from it."""
    return told(problem, method, limits, ran, *problem.value_and_grad(ran.state.trial))


def told(problem: Problem, method: Method, limits: Limits, ran: Ran, f: Any, g: Any) -> Ran:
    """What follows from the values at the trial point."""
    old = ran.state
    new = method.tell(problem, old, f, g)
    first = ran.n_evals == 0
    n_evals = ran.n_evals + 1
    finite = jnp.isfinite(f) & jnp.isfinite(problem.optimality(old.trial, g))
    status = _status(limits, old, new, first, finite, n_evals)
    history = ran.history
    if history is not None:
        row = jnp.where(first | (new.n_iters > old.n_iters), new.n_iters, len(history.f))  # beyond the end: dropped
        history = History(
            *(
                column.at[row].set(value, mode="drop")
                for column, value in zip(history, (new.f, new.gnorm, new.step, n_evals), strict=True)
            )
        )
    return Ran(new._replace(status=status), n_evals, ran.n_nonfinite + ~finite, history)


def _status(limits: Limits, old: Any, new: Any, first: Any, finite: Any, n_evals: Any) -> Any:
    gtol, ftol = limits.tols
    accepted = new.n_iters > old.n_iters
    small = jnp.maximum(jnp.abs(old.f), jnp.abs(new.f))
    status = new.status
    status = jnp.where((status == Status.RUNNING) & (n_evals >= limits.counts[1]), Status.MAX_EVALS, status)
    status = jnp.where((status == Status.RUNNING) & (new.n_iters >= limits.counts[0]), Status.MAX_ITERS, status)
    status = jnp.where(accepted & (old.f - new.f <= ftol * small) & (ftol > 0), Status.CONVERGED_VALUE, status)
    if limits.xtol is not None:
        length, size = (jnp.max(jnp.abs(v), initial=0) for v in (new.x - old.x, new.x))
        status = jnp.where(accepted & (length <= limits.xtol * size), Status.CONVERGED_STEP, status)
    status = jnp.where(accepted & (new.gnorm <= gtol), Status.CONVERGED_GRADIENT, status)
    at_start = jnp.where(new.gnorm <= gtol, Status.STATIONARY_START, status)
    at_start = jnp.where(finite, at_start, Status.NONFINITE_START)
    return jnp.where(first, at_start, status).astype(jnp.int32)
