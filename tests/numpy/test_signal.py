"""Signals: Fourier transforms, convolution, windows, interpolation and polynomials against jax.numpy."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, ConcretizationError, DTypeError, ShapeError
from tests.numpy.compare import Call, compare, named

RNG = np.random.default_rng(5)
X = RNG.normal(size=(3, 4, 5))
Z = X + 1j * RNG.normal(size=(3, 4, 5))
F32 = X.astype(np.float32)
K = np.arange(12).reshape(3, 4)
V, W = RNG.normal(size=7), RNG.normal(size=4)
T = np.array([-1.0, 0.0, 0.2, 1.0, 1.7, 3.0, 3.5])  # in, at and beyond the knots
XP, FP = np.array([0.0, 1.0, 1.5, 3.0]), np.array([2.0, -1.0, 0.5, 4.0])


def of_fft(names, *args, **kwargs):
    """Calls of functions of the sub-namespace."""

    def inside(call):
        return call._replace(fn=lambda module, *xs: call.fn(module.fft, *xs))

    return [inside(call) for call in named(names, *args, **kwargs)]


FFT = [
    *of_fft("fft ifft fft2 ifft2 fftn ifftn hfft irfft irfft2 irfftn fftshift ifftshift", Z),
    *of_fft("fft ifft fftn rfft rfft2 rfftn irfft ihfft hfft", X),
    *of_fft("fft rfft irfft", F32),
    *of_fft("fft rfft irfftn ihfft", K),
    *of_fft("fft ifft irfft hfft", Z, n=6, axis=1, norm="ortho"),
    *of_fft("fft ifft irfft hfft", Z, n=3, axis=0, norm="forward"),
    *of_fft("rfft ihfft", X, n=7, axis=-2, norm="ortho"),
    *of_fft("rfft ihfft", X, n=3, axis=-1, norm="backward"),
    *of_fft("fft2 ifft2 irfft2", Z, s=(2, 7), axes=(2, 0), norm="forward"),
    *of_fft("rfft2", X, s=(6, 3), axes=(-1, 0), norm="ortho"),
    *of_fft("fftn irfftn", Z, s=(3, 6)),
    *of_fft("rfftn", X, axes=(1,)),
    *of_fft("fftn irfftn", RNG.normal(size=(2, 3, 2, 3, 2))),
    *of_fft("fftn", np.array(2.0)),
    *of_fft("fftshift ifftshift", X, axes=1),
    *of_fft("fftshift", X, axes=(0, 2)),
    *of_fft("fft ifft rfft ihfft", np.zeros((0, 3))),
    *of_fft("fft ifft irfft", np.zeros((3, 0)), grad=False),
    *of_fft("irfft", np.ones((2, 1)), grad=False),  # of no points: JAX divides by their number
    Call("fftfreq", lambda m: m.fft.fftfreq(8), ()),
    Call("fftfreq(d)", lambda m, d: m.fft.fftfreq(7, d), (np.array(0.3),)),
    Call("rfftfreq", lambda m: m.fft.rfftfreq(8, 0.5), ()),
    Call("rfftfreq(d)", lambda m, d: m.fft.rfftfreq(9, d=d), (np.array(0.3),)),
]

SEQUENCES = [
    *named("convolve correlate", V, W),
    *named("convolve correlate", W, V, mode="full"),
    *named("convolve correlate", V, W, mode="same"),
    *named("convolve correlate", W, V, mode="valid"),
    *named("convolve correlate", Z[0, 0], Z[0, 1], mode="full"),
    *named("convolve", K[0], K[1]),
    *named("convolve", F32[0, 0], K[0]),
    *named("convolve", F32[0, 0], F32[0, 1], preferred_element_type="float64", precision="highest"),
    *[Call(f"{name}({m})", lambda module, name=name, m=m: getattr(module, name)(m), ())
      for name in ("bartlett", "blackman", "hamming", "hanning") for m in (0, 1, 2, 9)],
    Call("kaiser", lambda m, b: m.kaiser(8, b), (np.array(8.6),)),
    Call("kaiser(1)", lambda m: m.kaiser(1, 2.0), ()),
    *named("i0", X[0]),
    *named("i0", K[0]),
]  # fmt: skip

SAMPLES = [
    Call("interp", lambda m, x, xp, fp: m.interp(x, xp, fp), (T, XP, FP), weak=False),
    Call("interp(sides)", lambda m, x, xp, fp, a: m.interp(x, xp, fp, a, 2.0), (T, XP, FP, np.array(0.5)), weak=False),
    Call("interp(extrapolate)", lambda m, x, xp, fp: m.interp(x, xp, fp, "extrapolate", "extrapolate"), (T, XP, FP)),
    Call("interp(period)", lambda m, x, xp, fp: m.interp(x, xp, fp, period=2.9), (T.reshape(7, 1), XP[:3], FP[:3])),
    Call("interp(complex)", lambda m, x, xp, fp: m.interp(x, xp, fp), (T, XP, FP * (1 + 2j))),
    Call("interp(int)", lambda m, x: m.interp(x, np.arange(4), np.arange(4)), (np.array(2),)),
    Call("interp(one)", lambda m, x, fp: m.interp(x, XP[:1], fp), (T, FP[:1])),
    Call("interp(step)", lambda m, x, fp: m.interp(x, np.array([0.0, 1.0, 1.0, 2.0]), fp), (T, FP)),
    *named("gradient", X),
    *named("gradient", X, 0.5, axis=1),
    *named("gradient", X, np.array([0.0, 1.0, 1.5, 3.0]), axis=1),
    *named("gradient", X, np.array([0.0, 1.0, 4.0]), 2.0, axis=(0, 2)),
    *named("gradient", K),
    *named("ediff1d", X[0]),
    *named("ediff1d", X[0], W, np.array(3.0)),
    *named("ediff1d", K[0], to_begin=np.array([1, 2])),
    *named("unwrap", 5 * X),
    *named("unwrap", 5 * X, discont=4.0, axis=1),
    *named("unwrap", 3 * X, period=2.0, axis=0),
    *named("unwrap", 7 * K % 10, period=5),
    *named("unwrap", V[:1]),
]

POLYNOMIALS = [
    *named("polyadd polysub polymul", V, W),
    *named("polyadd polysub polymul", W, V),
    *named("polyadd polymul", K[0], K[1]),
    *named("polydiv", V, W),
    *named("polydiv", W, V),
    *named("polydiv", W, W),
    *named("polyder polyint", V),
    *named("polyder", V, 3),
    *named("polyder", W, 5),
    *named("polyder polyint", V, 0),
    *named("polyint", V, 3, np.array(2.0)),
    *named("polyint", V, 2, np.array([2.0, 1.0])),
    *named("polyint polyder", K[0]),
    *named("polyval", V, X),
    *named("polyval", X, np.array(0.3)),
    *named("polyval", K[0], K[1]),
    *named("polyval", np.zeros(0), X),
    *named("vander", V),
    *named("vander", V, 3, increasing=True),
    *named("vander", np.array([0.0, -1.0, 2.0]), 4, grad=False),  # JAX's has a NaN
    *named("vander", K[0], 3),
    *named("poly", V),
    *named("poly", Z[0, 0]),
    *named("poly", np.zeros(0)),
    *named("poly", 2.0),
]

ROOTS = [
    *named("roots", V, strip_zeros=False),
    *named("roots", Z[0, 0], strip_zeros=False),
    *named("roots", np.concatenate([W, [0.0]]), strip_zeros=False, grad=False),
    *named("roots", K[0] + 1, strip_zeros=False),
    *named("roots", np.ones(1), strip_zeros=False),
    *named("roots", np.array([0.0, 2.0, -1.0, 3.0]), strip_zeros=False, grad=False),
    *named("roots", np.zeros(3), strip_zeros=False, grad=False),
    Call("poly(matrix)", lambda m, x: m.real(m.poly(x)), (X[:, :3, 0] + np.diag([0.0, 3.0, 9.0]),)),
    *named("polyfit", V, V[::-1].copy(), 2),
    *named("polyfit", V, RNG.normal(size=(7, 2)), 3, w=np.arange(1.0, 8)),
    *[Call(f"polyfit {extra}", lambda m, x, y, extra=extra: m.polyfit(x, y, 2, **extra), (V, np.cos(V)), weak=False)
      for extra in ({"full": True}, {"cov": True}, {"cov": "unscaled"})],
    Call("polyfit(cov, 2)", lambda m, x, y: m.polyfit(x, y, 1, cov=True), (V, RNG.normal(size=(7, 2)))),
]  # fmt: skip


@pytest.mark.parametrize(
    "calls", [FFT, SEQUENCES, SAMPLES, POLYNOMIALS, ROOTS], ids=["fft", "seq", "samples", "poly", "roots"]
)
def test_against_jax(calls):
    compare(calls, atol=1e-12)


def test_namespace_is_complete():
    for name in dir(jnp.fft):
        fn = getattr(jnp.fft, name)
        if not name.startswith("_") and callable(fn):
            assert list(inspect.signature(getattr(gnp.fft, name)).parameters) == list(inspect.signature(fn).parameters)


def test_interp_has_finite_derivatives_at_its_edges():
    x = np.array([-np.inf, 0.0, 1.0, 1.0 + 1e-9, 2.0, np.inf, -1.0, 5.0])
    xp, fp = np.array([0.0, 1.0, 1.0, 2.0]), np.array([1.0, 3.0, 5.0, 4.0])
    dx, dxp, dfp = gl.grad(lambda x, xp, fp: gnp.sum(gnp.interp(x, xp, fp)), (0, 1, 2))(x, xp, fp)
    np.testing.assert_allclose(dx, [0, 2, -1, -1, -1, 0, 0, 0])
    assert np.all(np.isfinite(dxp))
    np.testing.assert_allclose(dfp, [3, 0, 2, 3], atol=1e-8)
    last = gl.grad(lambda x: gnp.interp(x, np.array([0.0, 1.0, 1.0]), np.array([1.0, 3.0, 5.0])))
    assert last(1.0) == 0.0


def test_i0_and_kaiser_at_zero():
    assert gl.grad(gnp.i0)(0.0) == 0.0
    assert gl.grad(gl.grad(gnp.i0))(0.0) == 0.5
    assert gl.grad(gnp.i0)(1e-9) == 5e-10
    np.testing.assert_allclose(gl.jacobian(lambda b: gnp.kaiser(5, b))(0.0), np.zeros(5))


def test_vander_has_finite_derivatives_at_zero():
    np.testing.assert_array_equal(gl.jacobian(lambda x: gnp.vander(x, 4))(np.zeros(1)).ravel(), [0, 0, 1, 0])


def test_unwrap_moves_with_its_phases_and_period():
    x = np.array([0.0, 3.5, 0.1, 6.5])
    np.testing.assert_array_equal(gl.jacobian(gnp.unwrap)(x), np.eye(4))
    turns = gl.jacobian(lambda p: gnp.unwrap(x, period=p))(6.0)
    np.testing.assert_array_equal(turns, [0, -1, 0, -1])


def test_leading_zeros_need_values():
    p, q = np.array([0.0, 0.0, 1.0, 2.0]), np.array([0.0, 3.0])

    def product(p):
        return gnp.polymul(p, q, trim_leading_zeros=True)

    np.testing.assert_allclose(gl.jacobian(product)(p), jax.jacobian(lambda p: jnp.polymul(p[2:], q[1:]))(p))
    remainder = gl.jvp(lambda u: gnp.polydiv(u, q[1:], trim_leading_zeros=True)[1], (p,), (p,))[0]
    assert remainder.shape == (0,)
    with pytest.raises(ConcretizationError, match="trim_leading_zeros=False"):
        gl.jit(gl.jacobian(product))(p)
    slope = gl.grad(lambda p: gnp.sum(gnp.abs(gnp.roots(p)) ** 2))(np.array([0.0, 2.0, -3.0, 5.0]))
    want = jax.grad(lambda p: jnp.sum(jnp.abs(jnp.roots(p, strip_zeros=False)) ** 2))(np.array([2.0, -3.0, 5.0]))
    np.testing.assert_allclose(slope, [0.0, *want], atol=1e-12)
    with pytest.raises(ConcretizationError, match="strip_zeros=False"):
        gl.jit(lambda p: gnp.roots(p))(p)


@pytest.mark.parametrize(
    ("fn", "error", "remedy"),
    [
        (lambda x: gnp.fft.fft(x, norm="half"), ArgumentError, "ortho"),
        (lambda x: gnp.fft.fft(x, n=0), ShapeError, "positive"),
        (lambda x: gnp.fft.fft(x, axis=(0, 1)), ShapeError, "fftn"),
        (lambda x: gnp.fft.fft2(x, axes=(0, 1, 2)), ShapeError, "fftn"),
        (lambda x: gnp.fft.fftn(x, s=(2,), axes=(0, 1)), ShapeError, "as many lengths"),
        (lambda x: gnp.fft.fftn(x, axes=(0, 0)), ShapeError, "twice"),
        (lambda x: gnp.fft.rfft(x * 1j), DTypeError, "fft"),
        (lambda x: gnp.convolve(x, x), ShapeError, "vmap"),
        (lambda x: gnp.convolve(x[0, 0], x[0, 1], "half"), ArgumentError, "full, same and valid"),
        (lambda x: gnp.interp(x, x[0], x[0]), ShapeError, "one axis"),
        (lambda x: gnp.interp(x, XP, FP, left="nearest"), ArgumentError, "extrapolate"),
        (lambda x: gnp.interp(x * 1j, XP, FP), DTypeError, "real part"),
        (lambda x: gnp.gradient(x, edge_order=2), ArgumentError, "one-sided"),
        (lambda x: gnp.gradient(x, 1.0, 2.0), ArgumentError, "spacings"),
        (lambda x: gnp.gradient(x[:1], axis=0), ShapeError, "two elements"),
        (lambda x: gnp.unwrap(x * 1j), DTypeError, "angle"),
        (lambda x: gnp.polyadd(x, x), ShapeError, "one axis"),
        (lambda x: gnp.polyder(x[0, 0], -1), ArgumentError, "polyint"),
        (lambda x: gnp.polyint(x[0, 0], 2, x[0, 0]), ShapeError, "constant of integration"),
        (lambda x: gnp.vander(x), ShapeError, "vector"),
        (lambda x: gnp.i0(x * 1j), DTypeError, "real"),
    ],
)
def test_errors_say_what_to_do(fn, error, remedy):
    with pytest.raises(error, match=remedy):
        gl.grad(lambda x: gnp.sum(fn(x)))(X)
