"""Logistic regression by `optim.minimize`, beside SciPy: the same fit, and what each of the two costs.

Run:  python examples/logistic.py
SciPy is given the same compiled value and gradient. Last, the fit for 32 penalties at once: one program, vmapped.
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


def main() -> None:
    features, labels = load_breast_cancer(return_X_y=True)
    features = (features - features.mean(0)) / features.std(0)
    x, held_out, y, held_out_y = train_test_split(features, 2.0 * labels - 1, test_size=0.3, random_state=0)
    start = {"weights": np.zeros(x.shape[1]), "bias": np.array(0.0)}

    def fit(penalty=1e-3):
        return optim.minimize(loss, start, args=(x, y, penalty))

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
    many = jax.jit(jax.vmap(lambda penalty: fit(penalty).x))
    fits = many(penalties)
    margins = held_out @ np.asarray(fits["weights"]).T + np.asarray(fits["bias"])
    right = np.mean(np.sign(margins) == held_out_y[:, None], axis=0)
    best = int(np.argmax(right))
    print(f"{len(penalties)} penalties at once: {milliseconds(lambda: many(penalties)):.2f} ms")
    print(f"held-out accuracy {right[best]:.2%} at penalty {penalties[best]:.1e}, {right[0]:.2%} at {penalties[0]:.0e}")


if __name__ == "__main__":
    main()
