"""Logistic regression by `optim.minimize`, beside SciPy: the same fit, and what each of the two costs.

Run:  python examples/logistic.py
SciPy is given the same compiled value and gradient. Last, the fit for 32 penalties, in turn and at once (vmapped), on
this table and on a larger one: at once each evaluation reads the table once for all fits, but all wait for the longest.
"""

from __future__ import annotations

import time

import jax
import numpy as np
import scipy.optimize
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from threadpoolctl import threadpool_limits

import gradlab as gl
import gradlab.numpy as gnp
from gradlab import optim

jax.config.update("jax_enable_x64", True)


def loss(params, features, signs, penalty):
    """The mean logistic loss of a linear classifier, `signs` (m,) being ±1, and a penalty on its weights."""
    margins = signs * (features @ params["weights"] + params["bias"])
    return gnp.mean(gnp.logaddexp(0, -margins)) + penalty / 2 * gnp.sum(params["weights"] ** 2)


def milliseconds(call, repeats: int = 20) -> float:
    """The median time of a call that has run before."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(call())
        times.append(time.perf_counter() - began)
    return 1e3 * float(np.median(times))


def starting(columns: int) -> dict[str, np.ndarray]:
    """A classifier that prefers neither side."""
    return {"weights": np.zeros(columns), "bias": np.array(0.0)}


def fits(x: np.ndarray, y: np.ndarray, penalties: np.ndarray) -> optim.Result:
    """The fit for each penalty, and what all of them cost in turn and at once."""
    start = starting(x.shape[1])

    def fit(penalty):
        return optim.minimize(loss, start, args=(x, y, penalty))

    at_once = jax.jit(jax.vmap(fit))
    found = at_once(penalties)
    one_by_one = [fit(float(penalty)) for penalty in penalties]
    assert np.allclose(found.f, [float(one.f) for one in one_by_one], rtol=1e-8)
    evals = np.asarray(found.n_evals)
    in_turn = milliseconds(lambda: [fit(float(penalty)).f for penalty in penalties], repeats=5)
    print(f"{len(penalties)} penalties, {x.shape[0]} rows of {x.shape[1]} numbers:")
    print(f"  in turn {in_turn:.1f} ms: {evals.sum()} evaluations, each reads the table for one fit")
    together = milliseconds(lambda: at_once(penalties).f, repeats=5)
    print(f"  at once {together:.1f} ms: {evals.max()} evaluations, each reads the table for all of them")
    print(f"  {'at once' if together < in_turn else 'in turn'} is the faster here")
    return found


def main() -> None:
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    x, held_out, y, held_out_y = train_test_split(features, 2.0 * labels - 1, test_size=0.3, random_state=0)
    start = starting(x.shape[1])

    def fit():
        return optim.minimize(loss, start, args=(x, y, 1e-3))

    began = time.perf_counter()
    result = fit()
    print(f"gradlab, first call {time.perf_counter() - began:.2f} s, then {milliseconds(fit):.2f} ms")
    print(result)

    value_and_grad = gl.jit(
        gl.value_and_grad(lambda v: loss({"weights": v[:-1], "bias": v[-1]}, gnp.asarray(x), gnp.asarray(y), 1e-3))
    )

    def by_scipy():
        def both(v):
            f, g = value_and_grad(v)
            return float(f), np.asarray(g)

        with threadpool_limits(1, "blas"):  # on vectors this short, waking its threads costs more than the work
            return scipy.optimize.minimize(
                both, np.zeros(x.shape[1] + 1), jac=True, method="L-BFGS-B", options={"gtol": 1e-6, "ftol": 0}
            )

    peer = by_scipy()
    print(f"SciPy, the same gradient: {milliseconds(lambda: by_scipy().x):.2f} ms")
    print(f"  f = {peer.fun:.10g}, largest gradient entry {np.abs(peer.jac).max():.3g}, {peer.nfev} evaluations")
    assert abs(peer.fun - float(result.f)) < 1e-9

    penalties = np.logspace(-6, 0, 32)
    found = fits(x, y, penalties)
    margins = held_out @ np.asarray(found.x["weights"]).T + np.asarray(found.x["bias"])
    right = np.mean(np.sign(margins) == held_out_y[:, None], axis=0)
    best = int(np.argmax(right))
    print(f"held-out accuracy {right[best]:.2%} at penalty {penalties[best]:.1e}, {right[0]:.2%} at {penalties[0]:.0e}")

    rng = np.random.default_rng(0)
    large = rng.standard_normal((4000, 300))
    odds = large @ rng.standard_normal(300) / 9
    fits(large, np.sign(odds + rng.logistic(size=4000)), penalties)


if __name__ == "__main__":
    main()
