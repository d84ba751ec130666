"""Fits a bounded model to noisy data: two decays on a background, with error bars, and a fit that outliers don't bend.

Run:  python examples/curve_fit.py        (draws curve_fit.png)
"""

from __future__ import annotations

import argparse

import jax
import matplotlib.pyplot as plt
import numpy as np

import gradlab.numpy as gnp
from gradlab import optim

jax.config.update("jax_enable_x64", True)

NAMES = ("amplitude 1", "lifetime 1", "amplitude 2", "lifetime 2", "background")
TRUE = np.array([5.0, 0.8, 2.5, 6.0, 0.4])
LOWER, UPPER = np.zeros(5), np.array([20.0, 2.0, 20.0, 50.0, 5.0])


def decays(t, a1, tau1, a2, tau2, background):
    return a1 * gnp.exp(-t / tau1) + a2 * gnp.exp(-t / tau2) + background


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="curve_fit.png", help="where the figure goes (default curve_fit.png)")
    options = parser.parse_args()

    rng = np.random.default_rng(0)
    t = np.linspace(0, 20, 120)
    noise = 0.12
    y = np.asarray(decays(t, *TRUE)) + noise * rng.normal(size=t.size)
    wild = rng.choice(t.size, 8, replace=False)
    y[wild] += rng.uniform(1, 4, 8)

    guess = np.array([1.0, 1.0, 1.0, 10.0, 0.0])
    shared = {"p0": guess, "sigma": noise, "absolute_sigma": True, "bounds": (LOWER, UPPER)}
    plain, _ = optim.curve_fit(decays, t, y, **shared)
    robust, covariance, result = optim.curve_fit(decays, t, y, loss="soft_l1", full_output=True, **shared)
    errors = np.sqrt(np.diagonal(covariance))

    print(result.message)
    print(f"{'':14}{'true':>8}{'least squares':>16}{'robust':>10}")
    for name, true, one, two, error in zip(NAMES, TRUE, plain, robust, errors, strict=True):
        print(f"{name:14}{true:8.2f}{one:16.2f}{two:10.2f} ± {error:.2f}")

    blue, orange, grey = "#0072B2", "#D55E00", "#6b7280"
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    fine = np.linspace(0, 20, 500)
    axes.plot(t, y, ".", color=grey, ms=5, label="data, 8 of 120 far off")
    axes.plot(fine, decays(fine, *TRUE), color="black", lw=1, ls=":", label="truth")
    axes.plot(fine, decays(fine, *plain), color=orange, lw=1.8, ls="--", label="least squares")
    axes.plot(fine, decays(fine, *robust), color=blue, lw=1.8, label="robust (soft ℓ₁)")
    axes.set(xlabel="time", ylabel="signal", title="Two decays on a background, all parameters bounded")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(options.out, dpi=150)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
