"""A Gaussian process whose length scale, amplitude and noise are those that make the data likeliest.

Run:  python examples/gp.py        (draws gp.png)
The marginal likelihood may have several maxima, so it is climbed from many starts at once: one program, vmapped.
"""

from __future__ import annotations

import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp
from gradlab import optim

jax.config.update("jax_enable_x64", True)


def kernel(log_scales, a, b):
    """The squared exponential of points a (n,), b (m,) -> (n, m)."""
    length, amplitude, _ = gnp.exp(log_scales)
    return amplitude**2 * gnp.exp(-(((a[:, None] - b) / length) ** 2) / 2)


def surprise(log_scales, t, y):
    """-log p(y | t), given the logarithms of length, amplitude and noise."""
    noise = gnp.exp(log_scales[2])
    covariance = kernel(log_scales, t, t) + (noise**2 + 1e-10) * gnp.eye(len(t))
    root = gnp.linalg.cholesky(covariance)
    white = gl.scipy.linalg.solve_triangular(root, y, lower=True)
    return gnp.sum(white**2) / 2 + gnp.sum(gnp.log(gnp.diagonal(root))) + len(t) / 2 * np.log(2 * np.pi)


def predicted(log_scales, t, y, at):
    """The mean and the standard deviation of the process at new points."""
    noise = gnp.exp(log_scales[2])
    covariance = kernel(log_scales, t, t) + (noise**2 + 1e-10) * gnp.eye(len(t))
    across = kernel(log_scales, at, t)
    mean = across @ gnp.linalg.solve(covariance, y)
    spread = gnp.exp(2 * log_scales[1]) - gnp.sum(across * gnp.linalg.solve(covariance, across.T).T, axis=1)
    return mean, gnp.sqrt(gnp.maximum(spread, 0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="gp.png", help="where the figure goes (default gp.png)")
    options = parser.parse_args()

    rng = np.random.default_rng(3)
    t = np.sort(np.concatenate([rng.uniform(-4, -0.5, 14), rng.uniform(1.5, 4, 10)]))
    y = np.sin(2 * t) + 0.4 * t + 0.2 * rng.normal(size=t.size)

    starts = rng.normal(0, 1, (24, 3))
    found = jax.jit(jax.vmap(lambda x0: optim.minimize(surprise, x0, args=(t, y), max_iters=200)))(starts)
    ends = np.sort(np.asarray(found.f))
    best = np.asarray(found.x)[int(np.nanargmin(found.f))]
    curvature = np.asarray(gl.hessian(surprise)(best, t, y))
    errors = np.sqrt(np.diagonal(np.linalg.inv(curvature)))
    print(f"{len(starts)} starts, at most {int(np.max(found.n_evals))} evaluations each")
    print(f"-log p at their ends: from {ends[0]:.3f} to {ends[-1]:.3f}")
    for name, value, error in zip(("length", "amplitude", "noise"), best, errors, strict=True):
        print(f"{name:10} {np.exp(value):.3f}   (a factor of {np.exp(error):.2f} either way)")

    at = np.linspace(-5, 5, 400)
    mean, spread = (np.asarray(part) for part in predicted(best, t, y, at))
    figure, axes = plt.subplots(figsize=(7.5, 4), layout="constrained")
    axes.fill_between(
        at, mean - 2 * spread, mean + 2 * spread, color="#0072B2", alpha=0.15, lw=0, label="± 2 σ of the function"
    )
    axes.plot(at, mean, color="#0072B2", lw=2, label="mean")
    axes.plot(at, np.sin(2 * at) + 0.4 * at, color="black", ls=":", lw=1, label="truth")
    axes.plot(t, y, "o", color="#D55E00", ms=5, label="data")
    axes.set(xlabel="t", ylabel="y", title="Gaussian process at the likeliest length, amplitude and noise")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="upper left")
    figure.savefig(options.out, dpi=150)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
