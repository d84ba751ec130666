"""48 functions of SciPy, unmodified, whose gradients are compared with differences. Run as a script: one line each.

It sets SCIPY_ARRAY_API before SciPy is imported, which is why the test runs it in a process of its own.
"""

from __future__ import annotations

import os

os.environ["SCIPY_ARRAY_API"] = "1"

import json
import sys
import warnings

import jax
import numpy as np
import scipy.cluster.hierarchy
import scipy.cluster.vq
import scipy.integrate
import scipy.optimize.elementwise
import scipy.signal
import scipy.special
import scipy.stats

import gradlab as gl

jax.config.update("jax_enable_x64", True)

special, stats, signal, integrate = scipy.special, scipy.stats, scipy.signal, scipy.integrate
elementwise, hierarchy, vq = scipy.optimize.elementwise, scipy.cluster.hierarchy, scipy.cluster.vq

X = np.array([0.3, 1.2, 0.7, 2.1, 1.6, 0.9])
P = np.array([0.2, 0.6, 0.35, 0.8, 0.55, 0.1])  # between 0 and 1
M = np.array([[0.3, 1.2, 0.4], [0.7, 2.1, 0.9], [1.6, 0.9, 0.2], [1.1, 0.5, 1.4]])
A = np.array([0.3, 1.1, 0.6, 0.8])


def like(x, value):
    """The constant `value` as an array of the same library as `x`."""
    return x.__array_namespace__().asarray(value)


def root(x):
    found = elementwise.find_root(lambda t, c: t**3 + t - c, (0 * x, 0 * x + 3.0), args=(x,))
    return found.x


def area(x):
    return integrate.tanhsinh(lambda t, c: (c * t) ** 2 + c, 0 * x, x, args=(x,)).integral


# name -> (function of one array, where)
CASES = {
    # special
    "special.expit": (special.expit, X),
    "special.logit": (special.logit, P),
    "special.gammaln": (special.gammaln, X),
    "special.digamma": (special.psi, X),
    "special.erf": (special.erf, X),
    "special.erfc": (special.erfc, X),
    "special.ndtr": (special.ndtr, X),
    "special.ndtri": (special.ndtri, P),
    "special.log_ndtr": (special.log_ndtr, X),
    "special.i0": (special.i0, X),
    "special.i1e": (special.i1e, X),
    "special.entr": (special.entr, X),
    "special.xlogy": (lambda x: special.xlogy(x, x + 1), X),
    "special.rel_entr": (lambda x: special.rel_entr(x, 2 * x + 1), X),
    "special.gammainc": (lambda x: special.gammainc(0 * x + 1.5, x), X),
    "special.betainc": (lambda x: special.betainc(like(x, 1.5), like(x, 2.0), x), P),
    "special.stdtr": (lambda x: special.stdtr(like(x, 4.0), x), X),
    "special.logsumexp": (special.logsumexp, X),
    "special.softmax": (lambda x: special.softmax(x) ** 2, X),
    "special.log_softmax": (lambda x: special.log_softmax(x) ** 2, X),
    # stats
    "stats.skew": (stats.skew, X),
    "stats.kurtosis": (stats.kurtosis, X),
    "stats.moment": (lambda x: stats.moment(x, 3), X),
    "stats.gmean": (stats.gmean, X),
    "stats.hmean": (stats.hmean, X),
    "stats.pmean": (lambda x: stats.pmean(x, 3), X),
    "stats.variation": (stats.variation, X),
    "stats.sem": (stats.sem, X),
    "stats.zscore": (lambda x: stats.zscore(x) ** 3, X),
    "stats.entropy": (stats.entropy, X),
    "stats.ttest_1samp": (lambda x: stats.ttest_1samp(x, 0.5).statistic, X),
    "stats.ttest_1samp.pvalue": (lambda x: stats.ttest_1samp(x, 0.5).pvalue, X),
    "stats.pearsonr": (lambda x: stats.pearsonr(x, like(x, P)).statistic, X),
    "stats.chisquare": (lambda x: stats.chisquare(x, 0 * x + x.mean()).statistic, X),
    "stats.jarque_bera": (lambda x: stats.jarque_bera(x).statistic, X),
    "stats.quantile": (lambda x: stats.quantile(x, 0.4), X),
    # signal
    "signal.hilbert": (lambda x: abs(signal.hilbert(x)), X),
    "signal.fftconvolve": (lambda x: signal.fftconvolve(x, like(x, A)) ** 2, X),
    "signal.oaconvolve": (lambda x: signal.oaconvolve(x, like(x, A)) ** 2, X),
    "signal.resample": (lambda x: signal.resample(x, 8) ** 2, X),
    "signal.envelope": (lambda x: signal.envelope(x, (1, None))[0], X),
    # integrate
    "integrate.trapezoid": (lambda x: integrate.trapezoid(x**2, x), X),
    "integrate.cumulative_simpson": (lambda x: integrate.cumulative_simpson(x**2, dx=0.1) ** 2, X),
    "integrate.tanhsinh": (
        lambda x: integrate.tanhsinh(lambda t, c: (c * t) ** 2 + c, 0 * x, x, args=(x,)).integral,
        X,
    ),
    "integrate.cumulative_trapezoid": (lambda x: integrate.cumulative_trapezoid(x**2, dx=0.1) ** 2, X),
    # optimize
    "elementwise.find_root": (root, X),
    # cluster
    "vq.whiten": (lambda x: vq.whiten(x) ** 2, M),
    "hierarchy.linkage": (lambda x: hierarchy.linkage(x, "average")[:, 2], M),
}


def scalar(fun):
    """A number that every element of what `fun` returns takes part in, each with a weight of its own."""

    def total(x):
        xp = x.__array_namespace__()
        y = xp.asarray(fun(x))
        weights = 1.0 + 0.1 * xp.arange(max(y.size, 1), dtype=xp.float64)
        return xp.sum(xp.reshape(y, (-1,)) * weights)

    return total


def differences(f, x, step=1e-5):
    """The gradient by central differences of fourth order, of what SciPy computes for NumPy's arrays."""
    g = np.empty_like(x)
    for i in np.ndindex(*x.shape):
        unit = np.zeros_like(x)
        unit[i] = step
        near, far = (float(f(x + k * unit)) - float(f(x - k * unit)) for k in (1, 2))
        g[i] = (8 * near - far) / (12 * step)
    return g


def tried(name: str) -> str:
    """The empty string where the gradient is right, else what is wrong with it."""
    fun, x = CASES[name]
    f = scalar(fun)
    try:
        got = np.asarray(gl.grad(f)(x))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    wanted = differences(f, x)
    off = np.max(np.abs(got - wanted)) / max(1.0, np.max(np.abs(wanted)))
    return "" if off < 1e-6 else f"off by {off:.1e}: {got} against {wanted}"


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    names = sys.argv[1:] or list(CASES)
    print(json.dumps({name: tried(name) for name in names}, indent=1))
