"""First and second derivatives of linear algebra against differences: where JAX's are missing, or cost most to compile.

All functions stand in one graph, each with its own arguments, which move along one direction: two compilations in all.
"""

from __future__ import annotations

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from tests.support import QUICK

RNG = np.random.default_rng(6)
A = RNG.normal(size=(3, 3)) + 3 * np.eye(3)
P = A @ A.T + np.eye(3)
C = A + 0.5j * RNG.normal(size=(3, 3))
B, V, T = RNG.normal(size=(3, 2)), RNG.normal(size=3), RNG.normal(size=(2, 3, 3)) + 3 * np.eye(3)
L, S = gnp.linalg, gl.scipy.linalg
STEP = 1e-4


def hermitian(x):
    return x + gnp.conj(x.T) + 6 * gnp.eye(3)


def symmetric(x):
    return x @ x.T + gnp.eye(3)


CASES = {
    "solve.stack": (L.solve, T, RNG.normal(size=(2, 3, 1))),
    "solve.pos": (lambda a, b: S.solve(hermitian(a), b, assume_a="pos", lower=True), C, B + 0j),
    "cho_solve": (lambda a, b: S.cho_solve((S.cholesky(hermitian(a), lower=True), True), b), C, B + 0j),
    "cholesky": (lambda a: L.cholesky(symmetric(a), symmetrize_input=False), A),
    "lstsq": (lambda a, b: L.lstsq(a, b)[0], np.vstack([A, V]), RNG.normal(size=4)),
    "svd": (lambda a: S.svd(a, False)[1], A),
    "qr.tall": (lambda a: L.qr(a), B),
    "qr.mode": (lambda a: S.qr(a, mode="r"), A),
    "expm": (lambda a: S.expm(a / 3), A),
    "solve_sylvester": (lambda a, b, c: S.solve_sylvester(symmetric(a), b @ b.T, c), A, P[:2, :2], B),
    "sqrtm": (lambda a: S.sqrtm(symmetric(a)), A),
}
ARGS = [args for _, *args in CASES.values()]
ALONG = jax.tree.map(lambda x: np.cos(np.arange(float(x.size))).reshape(x.shape).astype(x.dtype), ARGS)


def losses(args):
    """A number for each case."""
    out = []
    for (fn, *_), xs in zip(CASES.values(), args, strict=True):
        ys = [gnp.ravel(y) for y in jax.tree.leaves(fn(*xs))]
        out.append(sum(gnp.sum(gnp.cos(gnp.arange(1.0, y.size + 1)) * gnp.real(y * (1 - 0.3j))) for y in ys))
    return out


def slopes(args):
    """The derivative of each case's number along its direction, by reverse mode; and that one's."""
    gradients = gl.grad(lambda args: sum(losses(args)))

    def along(args):
        # The gradient of a real number of a complex one is its conjugate's, as in JAX.
        pairs = zip(gradients(args), ALONG, strict=True)
        return [sum(gnp.sum(gnp.real(g * d)) for g, d in zip(gs, ds, strict=True)) for gs, ds in pairs]

    return gl.jvp(along, (args,), (ALONG,))


@pytest.fixture(scope="module")
def found():
    value, slope = (jax.jit(f, compiler_options=QUICK) for f in (losses, slopes))
    ahead, behind = (jax.tree.map(lambda x, d, h=h: x + h * d, ARGS, ALONG) for h in (STEP, -STEP))

    def difference(high, low):
        return (np.array(high) - np.array(low)) / (2 * STEP)

    first, second = slope(ARGS)
    by_values = difference(value(ahead), value(behind))
    by_slopes = difference(slope(ahead)[0], slope(behind)[0])
    return dict(zip(CASES, zip(first, by_values, second, by_slopes, strict=True), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_derivatives(name, found):
    first, by_values, second, by_slopes = found[name]
    np.testing.assert_allclose(first, by_values, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(second, by_slopes, rtol=1e-5, atol=1e-5)
