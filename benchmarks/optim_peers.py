"""Every minimiser that benchmarks/optim.py compares, behind one interface: a start in, a point and its value out.

Evaluations are counted where the function is: a callback in the function itself ticks whenever the compiled program
runs it (once for all lanes of a batch), and SciPy's are counted in the wrapper it calls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import optimistix
import scipy.optimize
from jax.scipy.optimize import minimize as jax_minimize

from gradlab import optim

GTOL = 1e-6
MAX_ITERS = 2000


class Answer(NamedTuple):
    """Where a run ended, and what tells the solver's own word for it."""

    x: Any
    word: Callable[[], str] = str


# -- counting


class Counter:
    """How often a function was run: `counted(fun)` is `fun`, but it ticks."""

    def __init__(self) -> None:
        self.n = 0

    def counted(self, fun: Callable[[Any], Any]) -> Callable[[Any], Any]:
        def host(value):
            self.n += 1
            return value

        @jax.custom_jvp
        def tick(value):
            shape = jax.ShapeDtypeStruct(value.shape, value.dtype)
            return jax.pure_callback(host, shape, value, vmap_method="broadcast_all")

        tick.defjvp(lambda primals, tangents: (tick(*primals), *tangents))
        return lambda x, *args: tick(fun(x, *args))


# -- solvers: (fun, bounds) -> a function of x0, compiled on its first call


def own(method: str, fun: Callable, bounds: Any = None, **options: Any) -> Callable[[Any], Answer]:
    def run(x0):
        result = optim.minimize(fun, x0, method, bounds=bounds, gtol=GTOL, max_iters=MAX_ITERS, options=options or None)
        jax.block_until_ready(result.x)
        return Answer(result.x, lambda: result.status.name)

    return run


def with_scipy(method: str, fun: Callable, bounds: Any = None) -> Callable[[Any], Answer]:
    both = jax.jit(jax.value_and_grad(fun))
    hessian = jax.jit(jax.hessian(fun)) if method.startswith("trust") else None

    seen = {}

    def value_and_grad(x):
        value, gradient = both(x)
        seen[x.tobytes()] = gradient = np.asarray(gradient)
        return float(value), gradient

    def stop(intermediate_result):  # its own test is on ‖g‖₂
        if np.max(np.abs(seen[intermediate_result.x.tobytes()])) <= GTOL:
            raise StopIteration

    options = {"maxiter": MAX_ITERS, "gtol": GTOL}
    if method == "L-BFGS-B":
        options |= {"ftol": 0, "maxfun": 20 * MAX_ITERS}
    box = None if bounds is None else list(zip(*bounds, strict=True))
    extra = {} if hessian is None else {"hess": lambda x: np.asarray(hessian(x)), "callback": stop}

    def run(x0):
        seen.clear()
        found = scipy.optimize.minimize(
            value_and_grad, x0, jac=True, method=method, bounds=box, options=options, **extra
        )
        return Answer(found.x, lambda: str(found.message))

    return run


def optax_loop(fun: Callable, x0: Any, *args: Any) -> Any:
    """Optax's L-BFGS in the loop its documentation gives, ended at ‖g‖∞ ≤ GTOL."""
    optimizer = optax.lbfgs()
    of_x = partial(_swapped, fun, args)
    value_and_grad = optax.value_and_grad_from_state(of_x)

    def step(carry):
        x, state = carry
        value, grad = value_and_grad(x, state=state)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=of_x)
        return optax.apply_updates(x, updates), state

    def goes_on(carry):
        _, state = carry
        count = optax.tree.get(state, "count")
        size = jnp.max(jnp.abs(optax.tree.get(state, "grad")))
        return (count == 0) | ((count < MAX_ITERS) & (size > GTOL))

    return jax.lax.while_loop(goes_on, step, (x0, optimizer.init(x0)))[0]


def _swapped(fun, args, x):
    return fun(x, *args)


def with_optax(fun: Callable, bounds: Any = None) -> Callable[[Any], Answer]:
    return _compiled(partial(optax_loop, fun))


def jaxopt_loop(fun: Callable, x0: Any, *args: Any) -> Any:
    return jaxopt.LBFGS(fun, maxiter=MAX_ITERS, tol=GTOL, linesearch="zoom").run(x0, *args).params


def with_jaxopt(fun: Callable, bounds: Any = None) -> Callable[[Any], Answer]:
    if bounds is None:
        return _compiled(partial(jaxopt_loop, fun))

    def boxed(x0):
        return jaxopt.LBFGSB(fun, maxiter=MAX_ITERS, tol=GTOL).run(x0, bounds=bounds).params

    return _compiled(boxed)


def optimistix_loop(make: Callable, fun: Callable, x0: Any, *args: Any) -> Any:
    """Its own test compares steps, not gradients; these tolerances leave ‖g‖∞ at about GTOL."""
    solver = make(rtol=1e-8, atol=1e-8)
    return optimistix.minimise(lambda x, rest: fun(x, *rest), solver, x0, args, max_steps=MAX_ITERS, throw=False).value


def with_optimistix(make: Callable, fun: Callable, bounds: Any = None) -> Callable[[Any], Answer]:
    return _compiled(partial(optimistix_loop, make, fun))


def with_jax_scipy(fun: Callable, bounds: Any = None) -> Callable[[Any], Answer]:
    def loop(x0):
        return jax_minimize(fun, x0, method="BFGS", tol=GTOL, options={"maxiter": MAX_ITERS}).x

    return _compiled(loop)


def _compiled(loop: Callable) -> Callable[[Any], Answer]:
    compiled = jax.jit(loop)
    return lambda x0: Answer(jax.block_until_ready(compiled(x0)))


@dataclass(frozen=True)
class Solver:
    """**Attributes:** `make(fun, bounds)`: the solver for one problem; `second`: whether it asks for Hessians."""

    make: Callable[..., Callable[[Any], Answer]]
    second: bool = False
    bounded: bool = False


SOLVERS = {
    "lbfgs": Solver(partial(own, "lbfgs")),
    "bfgs": Solver(partial(own, "bfgs")),
    "lbfgsb": Solver(partial(own, "lbfgsb"), bounded=True),
    "newton-cg": Solver(partial(own, "newton-cg"), second=True),
    "trust-region": Solver(partial(own, "trust-region"), second=True),
    "scipy L-BFGS-B": Solver(partial(with_scipy, "L-BFGS-B"), bounded=True),
    "scipy BFGS": Solver(partial(with_scipy, "BFGS")),
    "scipy trust-exact": Solver(partial(with_scipy, "trust-exact"), second=True),
    "optax lbfgs": Solver(with_optax),
    "jaxopt LBFGS": Solver(with_jaxopt),
    "jaxopt LBFGSB": Solver(with_jaxopt, bounded=True),
    "optimistix BFGS": Solver(partial(with_optimistix, optimistix.BFGS)),
    "optimistix LBFGS": Solver(partial(with_optimistix, optimistix.LBFGS)),
    "jax.scipy BFGS": Solver(with_jax_scipy),
}
