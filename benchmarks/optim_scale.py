"""Minimisers at scale: the time of an iteration against the bytes it must move, and many solves in one program."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import optimistix
import scipy.optimize
from optim_peers import GTOL, MAX_ITERS, Counter, jaxopt_loop, optax_loop, optimistix_loop
from report import duration, times
from timing import interleaved, medians

from gradlab import optim
from gradlab.optim.problems import extended_rosenbrock
from gradlab.optim.problems.statistics import logistic_loss

MEMORY = 10


def bandwidth(n: int = 2**23) -> float:
    """Bytes a second of a copy, read and write counted, of n float64 numbers between arrays that are there already."""
    source, target = np.ones(n), np.zeros(n)
    parts = np.array_split(np.arange(n), os.cpu_count() or 1)
    slices = [slice(int(part[0]), int(part[-1]) + 1) for part in parts]
    with ThreadPoolExecutor(len(slices)) as pool:
        calls = {
            "one": lambda: np.copyto(target, source),
            "all": lambda: list(pool.map(lambda at: np.copyto(target[at], source[at]), slices)),
        }
        seconds = interleaved(calls, budget=0.3, rounds=(7, 20))
    return 16 * n / min(min(times) for times in seconds.values())


def bytes_of_an_iteration(n: int) -> int:
    """What L-BFGS with this memory must move: its 2m vectors twice (Wᵀg, W·v), a new pair, x, g, d, trial, data.

    Two-loop and compact form read the history twice; that each vector is read once a pass is the least possible.
    """
    return 8 * n * (2 * 2 * MEMORY + 2 + 8)


def hard_quadratic(n: int) -> tuple[Callable[[Any], Any], np.ndarray]:
    """A cheap objective on which no solver finishes within the iterations timed."""
    d = jnp.asarray(np.logspace(0, 6, n))

    def fun(x):
        return jnp.vdot(d * x, x) / 2 - jnp.sum(x)

    return fun, np.zeros(n)


def _own(fun, iters):
    def run(x0):
        result = optim.minimize(fun, x0, "lbfgs", gtol=0.0, max_iters=iters, options={"memory": MEMORY})
        return result.x.block_until_ready()

    return run


def _optax(fun, iters):
    optimizer = optax.lbfgs(memory_size=MEMORY)
    value_and_grad = optax.value_and_grad_from_state(fun)

    def step(_, carry):
        x, state = carry
        value, grad = value_and_grad(x, state=state)
        updates, state = optimizer.update(grad, state, x, value=value, grad=grad, value_fn=fun)
        return optax.apply_updates(x, updates), state

    run = jax.jit(lambda x0: jax.lax.fori_loop(0, iters, step, (x0, optimizer.init(x0)))[0])
    return lambda x0: run(x0).block_until_ready()


def _jaxopt(fun, iters):
    solver = jaxopt.LBFGS(fun, maxiter=iters, tol=0.0, history_size=MEMORY, linesearch="zoom")
    run = jax.jit(lambda x0: solver.run(x0).params)
    return lambda x0: run(x0).block_until_ready()


def _scipy(fun, iters):
    both = jax.jit(jax.value_and_grad(fun))

    def value_and_grad(x):
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    options = {"maxiter": iters, "maxcor": MEMORY, "gtol": 0, "ftol": 0}
    return lambda x0: scipy.optimize.minimize(value_and_grad, x0, jac=True, method="L-BFGS-B", options=options)


LENGTHS = {1000: (20, 220), 100_000: (15, 65), 1_000_000: (10, 22)}  # n -> iterations of a short and a long run


def size(solvers: list[str] | None, quick: bool = False) -> list[dict[str, Any]]:
    """Per iteration: the difference of a long and a short run over the difference of their lengths.

    The bandwidth is measured again beside each size, before and after it, so that both see the same machine.
    """
    makers = {"lbfgs": _own, "optax lbfgs": _optax, "jaxopt LBFGS": _jaxopt, "scipy L-BFGS-B": _scipy}
    makers = {k: v for k, v in makers.items() if solvers is None or k in solvers}
    rows = []
    for n, (short, long) in LENGTHS.items():
        if quick and n > 1000:
            continue
        fun, x0 = hard_quadratic(n)
        x0 = jnp.asarray(x0)
        runs = {(name, k): partial(make(fun, k), x0) for name, make in makers.items() for k in (short, long)}
        before = bandwidth()
        rounds = (1, 2) if quick else (3, 12)
        seconds = interleaved({str(key): run for key, run in runs.items()}, budget=10.0, rounds=rounds)
        speed = max(before, bandwidth())
        print(f"copy bandwidth {speed / 1e9:.1f} GB/s; history {MEMORY}")
        least = bytes_of_an_iteration(n)
        row: dict[str, Any] = {"n": n}
        for name in makers:
            per = (min(seconds[str((name, long))]) - min(seconds[str((name, short))])) / (long - short)
            row[name] = {"seconds": per, "share": least / per / speed}
            print(
                f"n = {n:<9}{name:<18}{duration(per):>10} an iteration, {row[name]['share']:.2f} of the bandwidth",
                flush=True,
            )
        rows.append(row)
    return rows


# -- batches


def starts(lanes: int = 64) -> tuple[Callable, tuple[Any, ...], tuple[int, ...]]:
    """A cheap objective from many starts."""
    p = extended_rosenbrock(10)
    rng = np.random.default_rng(0)
    x0 = jnp.asarray(p.x0 + rng.normal(size=(lanes, p.n)))
    return (lambda x: p.fun(x)), (x0,), (0,)


def regressions(lanes: int = 32, m: int = 200, d: int = 20) -> tuple[Callable, tuple[Any, ...], tuple[int, ...]]:
    """Logistic regressions on as many data sets: the objective is what costs."""
    rng = np.random.default_rng(1)
    a = rng.normal(size=(lanes, m, d)) * np.logspace(-1, 1, d)
    b = np.sign(np.einsum("lmd,ld->lm", a, rng.normal(size=(lanes, d))) + rng.normal(size=(lanes, m)))
    return (
        (lambda x, a, b: logistic_loss(x, a, b, 1e-3)),
        (jnp.zeros((lanes, d)), jnp.asarray(a), jnp.asarray(b)),
        (0, 0, 0),
    )


def _run(compiled: Callable, inputs: tuple) -> Any:
    return jax.block_until_ready(compiled(*inputs))


def own_loop(fun: Callable, x0: Any, *args: Any) -> Any:
    return optim.minimize(fun, x0, "lbfgs", args=args, gtol=GTOL, max_iters=MAX_ITERS).x


LOOPS = {
    "lbfgs": own_loop,
    "optax lbfgs": optax_loop,
    "jaxopt LBFGS": jaxopt_loop,
    "optimistix LBFGS": partial(optimistix_loop, optimistix.LBFGS),
}


def batched(solvers: list[str] | None, quick: bool = False) -> list[dict[str, Any]]:
    """Evaluations executed for all lanes at once, against the slowest lane's own; time against one after the other."""
    rows = []
    for title, (fun, inputs, axes) in (("64 starts", starts()), ("32 logistic regressions", regressions())):
        print(f"{title:<26}{'executed':>10}{'slowest':>10}{'ratio':>8}{'together':>12}{'in turn':>12}{'speed-up':>10}")
        everyone, compared = {}, {}
        for name, loop in LOOPS.items():
            if solvers is not None and name not in solvers:
                continue
            counter, lanes = Counter(), len(inputs[0])
            counted = counter.counted(fun)
            jax.block_until_ready(jax.jit(jax.vmap(partial(loop, counted), in_axes=axes))(*inputs))
            executed, alone = counter.n, []
            one = jax.jit(partial(loop, counted))
            for k in range(lanes):
                before = counter.n
                jax.block_until_ready(one(*(x[k] for x in inputs)))
                alone.append(counter.n - before)
            together = jax.jit(jax.vmap(partial(loop, fun), in_axes=axes))
            single = jax.jit(partial(loop, fun))
            apart = [tuple(x[k] for x in inputs) for k in range(lanes)]

            def in_turn(single=single, apart=apart):
                for given in apart:
                    jax.block_until_ready(single(*given))

            calls = {"together": partial(_run, together, inputs), "in turn": in_turn}
            everyone |= {(name, what): call for what, call in calls.items()}
            compared[name] = (executed, max(alone))
        timed = interleaved(
            {str(key): call for key, call in everyone.items()}, budget=15.0, rounds=(1, 2) if quick else (3, 15)
        )
        taken = medians(timed)
        for name, (executed, slowest) in compared.items():
            seconds = {what: taken[str((name, what))] for what in ("together", "in turn")}
            ratio = executed / slowest
            gain = seconds["in turn"] / seconds["together"]
            rows.append({"problem": title, "solver": name, "executed": executed, "slowest": slowest, **seconds})
            print(f"  {name:<24}{executed:>10}{slowest:>10}{ratio:>8.2f}{duration(seconds['together']):>12}"
                  f"{duration(seconds['in turn']):>12}{times(gain):>10}", flush=True)  # fmt: skip
    return rows
