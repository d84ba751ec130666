"""Fourier transforms."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.ir.errors import ArgumentError, DTypeError, ShapeError
from gradlab.lower.emit import emit
from gradlab.ops.fft import fft
from tests.support import Case, stage

RNG = np.random.default_rng(7)
R = RNG.normal(size=(2, 5, 4))
C = R + 1j * RNG.normal(size=(2, 5, 4))
FEW = ("float32",)


def case(kind, x, axes, lengths=None, order=2, widths=(), **extra):
    lengths = tuple(x.shape[a] for a in axes) if lengths is None else lengths
    whole = getattr(jnp.fft, f"{kind}n")
    return Case(
        lambda x: fft(x, kind=kind, axes=axes, lengths=lengths),
        (x,),
        lambda x: whole(x, s=lengths if 0 not in lengths else None, axes=axes),
        order=order,
        widths=widths,
        **extra,
    )


CASES = {
    "fft": case("fft", C, (2,), widths=FEW),
    "fft.first": case("fft", C, (0,)),
    "fft.two": case("fft", C, (2, 1)),
    "fft.many": case("fft", RNG.normal(size=(2, 1, 3, 2)) + 1j, (0, 1, 3, 2), order=1),
    "fft.inverse": case("ifft", C, (1,)),
    "fft.inverse two": case("ifft", C, (0, 1), order=1),
    "fft.empty": case("fft", np.zeros((0, 3), complex), (1,)),
    "fft.none": case("fft", np.zeros((2, 0), complex), (1,), order=1),
    "fft.real even": case("rfft", R, (2,), widths=FEW),
    "fft.real odd": case("rfft", R, (1,)),
    "fft.real two": case("rfft", R, (2, 1)),
    "fft.real points": case("rfft", R[:, :1], (0,), order=1),
    "fft.real point": case("rfft", R[:, :1], (1,), order=1),
    "fft.half even": case("irfft", C, (2,), (6,), widths=FEW),
    "fft.half odd": case("irfft", C, (1,), (9,)),
    "fft.half two": case("irfft", C, (0, 1, 2), (2, 5, 7)),
    "fft.half points": case("irfft", C[:, :2], (1,), (2,), order=1),
    "fft.half point": case("irfft", C[:, :1], (1,), (1,), order=1),
    "fft.half nothing": case("irfft", C[:, :1], (1,), (0,), order=1),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


@pytest.mark.parametrize(
    ("kind", "x", "axes", "lengths", "text"),
    [
        ("fft", C, (2,), (4,), "jnp.fft.fft(t0)"),
        ("ifft", C, (1,), (5,), "jnp.fft.ifft(t0, axis=1)"),
        ("rfft", R, (1, 2), (5, 4), "jnp.fft.rfft2(t0)"),
        ("irfft", C, (2,), (6,), "jnp.fft.irfft(t0)"),
        ("irfft", C, (2,), (7,), "jnp.fft.irfft(t0, n=7)"),
        ("irfft", C, (0, 1, 2), (2, 5, 7), "jnp.fft.irfftn(t0, s=(2, 5, 7))"),
        ("fft", C, (2, 0), (4, 2), "jnp.fft.fft2(t0, axes=(2, 0))"),
    ],
)
def test_text(kind, x, axes, lengths, text):
    graph = stage(lambda x: fft(x, kind=kind, axes=axes, lengths=lengths), (x,))
    assert text in emit(graph)


@pytest.mark.parametrize(
    ("kind", "x", "axes", "lengths", "error", "remedy"),
    [
        ("fft", R, (0,), (2,), DTypeError, "Convert it first"),
        ("rfft", R.astype(np.float16), (0,), (2,), DTypeError, "float32 or float64"),
        ("irfft", C, (0,), (5,), ShapeError, "Pad or cut"),
        ("fft", C, (3,), (5,), ShapeError, "distinct axes"),
        ("rfft", np.zeros((0,)), (0,), (0,), ShapeError, "of no elements"),
        ("dct", C, (0,), (2,), ArgumentError, "fft, ifft, rfft, irfft"),
    ],
)
def test_errors_say_what_to_do(kind, x, axes, lengths, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(lambda x: fft(x, kind=kind, axes=axes, lengths=lengths), (x,))
