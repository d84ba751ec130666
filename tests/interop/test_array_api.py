"""The namespace a tracer answers with: the names of the array API standard, their parameters, and their values."""

from __future__ import annotations

import inspect

import array_api_strict as strict
import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.interop import array_api
from gradlab.ir.errors import ArgumentError, ConversionError

# Names of array_api_strict that 2024.12, the version we implement, does not have.
_NEWER = {"isin", "broadcast_shapes"}
_FLAGS = {"ArrayAPIStrictFlags", "Device"}


def names(module):
    words = [n for n in module.__all__ if not n.startswith("_") and "array_api_strict_flags" not in n]
    return sorted(set(words) - _NEWER - _FLAGS)


FUNCTIONS = [
    *[("", name) for name in names(strict)],
    *[(part, name) for part in ("linalg", "fft") for name in getattr(strict, part).__all__],
]
FUNCTIONS = [(part, name) for part, name in FUNCTIONS if name not in ("linalg", "fft")]


def find(namespace, part, name):
    return getattr(getattr(namespace, part) if part else namespace, name)


def test_every_name_is_there():
    missing = [
        (part, name)
        for part, name in FUNCTIONS
        for namespace in (gnp, array_api)
        if not hasattr(getattr(namespace, part) if part else namespace, name)
    ]
    assert not missing


def test_strict():
    ours = {n for n in vars(array_api) if not n.startswith("_")}
    known = set(names(strict)) | {"linalg", "fft", "special"}
    machinery = {
        "ArgumentError",
        "ConversionError",
        "Any",
        "Tracer",
        "annotations",
        "install",
        "is_jax_tracer",
        "jax",
        "sys",
    }
    assert ours - known <= machinery


def test_parameters():
    """What the standard lets a caller name can be named."""
    wrong = []
    for part, name in FUNCTIONS:
        theirs = find(strict, part, name)
        if not inspect.isfunction(theirs) or name in ("finfo", "iinfo", "from_dlpack"):
            continue
        ours = inspect.signature(find(array_api, part, name)).parameters
        for p in inspect.signature(theirs).parameters.values():
            named = p.kind is p.KEYWORD_ONLY
            if named and p.name not in ours and not any(q.kind is q.VAR_KEYWORD for q in ours.values()):
                wrong.append((part, name, p.name))
    assert not wrong


X = np.array([[0.3, -1.2, 0.7], [2.1, 1.6, -0.9]])
U = np.array([0.2, 0.5, 0.9])
SQUARE = np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.0]])
CASES = {
    "elementwise": lambda xp, x, u, s: [
        xp.acosh(2 + x * x), xp.atan2(x, u), xp.copysign(x, u), xp.hypot(x, u), xp.expm1(x), xp.reciprocal(x),
        xp.nextafter(x, u), xp.signbit(x), xp.square(x), xp.trunc(x), xp.clip(x, -1.0, 1.0), xp.remainder(x, u),
        xp.floor_divide(x, u), xp.logaddexp(x, u), xp.maximum(x, u), xp.isfinite(x), xp.round(x), xp.sign(x),
    ],
    "reductions": lambda xp, x, u, s: [
        xp.sum(x, axis=1, keepdims=True), xp.var(x, correction=1), xp.std(x, axis=0), xp.prod(x), xp.argmax(x, axis=1),
        xp.count_nonzero(x, axis=0), xp.cumulative_sum(x, axis=1, include_initial=True), xp.cumulative_prod(u),
        xp.any(x > 2), xp.all(x > -2, axis=0), xp.mean(x, axis=0), xp.diff(x, axis=1),
    ],
    "manipulation": lambda xp, x, u, s: [
        xp.concat([x, x], axis=1), xp.stack([u, u]), xp.flip(x, axis=1), xp.moveaxis(x, 0, 1),
        xp.permute_dims(x, (1, 0)), xp.repeat(u, 2), xp.roll(x, 1, axis=1), xp.tile(u, (2, 1)),
        *xp.unstack(x), xp.tril(s), xp.triu(s, k=1),
        xp.expand_dims(u, axis=0), xp.broadcast_to(u, (2, 3)), xp.take(x, xp.asarray([2, 0]), axis=1),
        xp.take_along_axis(x, xp.argsort(x, axis=1), axis=1), xp.sort(x, axis=1, descending=True), x.mT, x.T,
    ],
    "searching": lambda xp, x, u, s: [
        xp.searchsorted(u, xp.asarray([0.1, 0.6])) + 0, xp.where(x > 0, x, u), *xp.nonzero(x > 0), xp.unique_values(u),
        *xp.unique_counts(u), *xp.unique_inverse(u), *xp.meshgrid(u, u), xp.astype(x, xp.float32),
    ],
    "linalg": lambda xp, x, u, s: [
        xp.linalg.cholesky(s), xp.linalg.det(s), xp.linalg.inv(s), xp.linalg.solve(s, u), xp.linalg.eigvalsh(s),
        xp.linalg.matrix_norm(s), xp.linalg.vector_norm(x, axis=1), xp.linalg.svdvals(s), xp.linalg.trace(s),
        xp.linalg.cross(u, s[0, :]), xp.linalg.matrix_power(s, 3), xp.linalg.pinv(s), *xp.linalg.slogdet(s),
        xp.matmul(x, s), xp.vecdot(u, u), xp.tensordot(x, s, axes=1), xp.linalg.outer(u, u),
    ],
    "fft": lambda xp, x, u, s: [
        xp.fft.rfft(x), xp.fft.fftn(xp.astype(x, xp.complex128)), xp.fft.irfft(xp.fft.rfft(x), n=3),
        xp.fft.fftshift(u), xp.fft.fftfreq(5), xp.fft.hfft(xp.astype(u, xp.complex128)),
    ],
    "creation": lambda xp, x, u, s: [
        xp.zeros_like(x), xp.full((2,), 3.0), xp.eye(3, k=1), xp.linspace(0.0, 1.0, 5), xp.arange(1, 7, 2), xp.ones(3),
        xp.empty((0, 2)), xp.asarray([[1.0, 2.0]]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_values_are_those_of_array_api_strict(name):
    run = CASES[name]
    wanted = run(strict, *[strict.asarray(a) for a in (X, U, SQUARE)])

    def traced(x, u, s):
        out = run(x.__array_namespace__(), x, u, s)
        return gnp.sum(x), out

    _, got = gl.value_and_grad(traced, has_aux=True)(X, U, SQUARE)[0]
    for ours, theirs in zip(got, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(ours), np.asarray(theirs), rtol=1e-6, atol=1e-12)
        assert ours.shape == theirs.shape


def test_attributes_of_a_tracer():
    def f(x):
        xp = x.__array_namespace__(api_version="2024.12")
        assert xp is array_api
        assert x.device == jax.devices()[0]
        y = x.to_device(x.device)
        assert (x.ndim, x.size, x.shape, x.dtype) == (1, 3, (3,), xp.float64)
        assert xp.asarray(x) is x
        y = xp.asarray(y, copy=True)
        y[0] = 0.0  # a copy: x keeps its value
        return xp.sum(x * x + y)

    np.testing.assert_allclose(gl.grad(f)(U), [2 * 0.2, 2 * 0.5 + 1, 2 * 0.9 + 1])


def test_refusals():
    with pytest.raises(ArgumentError, match="2024.12"):
        gl.grad(lambda x: x.__array_namespace__(api_version="1999.01").sum(x))(U)
    with pytest.raises(ConversionError, match="before the call"):
        gl.grad(lambda x: x.__dlpack__())(U)
    with pytest.raises(ArgumentError, match="device_put"):
        gl.grad(lambda x: x.to_device("elsewhere").sum())(U)
