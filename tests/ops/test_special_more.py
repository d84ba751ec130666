"""The special functions that JAX sums by series: values against it, derivatives against differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from jax.scipy import special

from gradlab.ir.errors import MissingRuleError
from gradlab.lower.compile import Executable
from gradlab.ops import special_more as s
from gradlab.transforms.jvp import jvp_graph
from tests.support import Case, derivative, stage

X = np.array([0.7, 1.3, 2.1])
SIGNED = np.array([[0.7, -1.3, 2.1], [-0.4, 0.9, -2.6]])
ORDERS = np.array([2.0, 1.0, 0.0])
A = np.array([0.5, 1.2, 3.3])
B = np.array([1.5, 2.7, 2.2])
C = np.array([3.1, 4.2, 2.9])
INSIDE = np.array([0.7, 0.3, 0.1])
Z = np.array([0.7 + 0.3j, -0.4 + 1.1j])
DEGREES, INDICES = np.array([[2, 1, 0], [3, 2, 3]]), np.array([[1, -1, 0], [-2, 2, 3]])
THETA, PHI = np.array([[0.3, 1.2, 2.0], [0.8, 2.5, 1.4]]), np.array([[0.5, -0.7, 2.0], [3.0, 0.1, 0.9]])


def reference(name, part=None, **options):
    """JAX's function, looked up when it is called: older versions lack some."""

    def call(*xs):
        out = getattr(special, name)(*xs, **options)
        out = out if part is None else out[part]
        return out.astype(xs[0].dtype) if name == "owens_t" else out  # JAX may answer in double precision

    return call


def case(name, *args, of=None, part=None, **options):
    fn = getattr(s, name)
    options = {"widths": ("float32",), "batch": [(0,) * len(args)], **options}
    return Case(fn, args, reference(of or name, part), **options)


def _harmonics(n, m, theta, phi):
    flat = special.sph_harm_y(n.ravel(), m.ravel(), theta.ravel(), phi.ravel(), n_max=3)
    return flat.reshape(theta.shape).astype(np.result_type(theta.dtype, np.complex64))


QUICK: dict[str, Any] = {"widths": (), "batch": False}  # XLA takes seconds for each copy of these
CASES = {
    "expi": case("expi", SIGNED),
    "exp1": case("exp1", X),
    "expn": case("expn", ORDERS, X, active=(False, True), batch=[(0, None)]),
    "si": case("si", X, of="sici", part=0, elementwise=True),
    "ci": case("ci", X, of="sici", part=1),
    "fresnel_s": case("fresnel_s", SIGNED, of="fresnel", part=0),
    "fresnel_c": case("fresnel_c", SIGNED, of="fresnel", part=1),
    "spence": case("spence", np.array([0.3, 0.99, 1.0, 1.02, 2.6])),
    "dawsn": case("dawsn", SIGNED),
    "erfcx": case("erfcx", SIGNED),
    "wofz": case("wofz", Z, widths=()),
    "ndtri": case("ndtri", INSIDE),
    "erfcinv": case("erfcinv", INSIDE),
    "owens_t": case("owens_t", SIGNED[0], SIGNED[1]),
    "loggamma": case("loggamma", X),
    "loggamma.complex": case("loggamma", Z, order=0, widths=()),
    "factorial": case("factorial", X),
    "comb": case("comb", C + 1, X),
    "poch": case("poch", C, X),
    "hyp1f1": case("hyp1f1", A, B, X, active=(False, False, True)),
    "hyp1f1_by": case("hyp1f1", A, B, X, active=(True, True, False), order=1, **QUICK),
    "hyp2f1": case("hyp2f1", A, B, C, INSIDE, active=(False, False, False, True), order=1, **QUICK),
    "hyp2f1_by": case("hyp2f1", A, B, C, INSIDE, active=(True, True, True, False), order=1, **QUICK),
    "bessel_jn": Case(
        lambda z: s.bessel_jn(z, v=2), (SIGNED,), reference("bessel_jn", v=2), widths=(), batch=[(0,), (2,)]
    ),
    "bessel_jn.first": Case(
        lambda z: s.bessel_jn(z, v=0), (X + 5,), reference("bessel_jn", v=0), widths=("float32",), batch=False
    ),
    "sph_harm_y": Case(
        lambda n, m, t, p: s.sph_harm_y(n, m, t, p, n_max=3),
        (DEGREES, INDICES, THETA, PHI),
        _harmonics,
        widths=("float32",),
        batch=[(0, 0, 0, 0), (None, None, 1, None)],
    ),
}
NEWER = {"dawsn", "erfcx", "wofz", "erfcinv", "owens_t", "comb"}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    if name in NEWER and not hasattr(special, name):
        pytest.skip(f"this version of JAX has no {name}")
    CASES[name].check()


REFUSED = {"expn": (s.expn, 2, 0, "order n"), "loggamma": (s.loggamma, 1, 0, "gammaln of a real x")}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_derivative_says_so(name):
    fn, n, operand, why = REFUSED[name]
    graph = stage(fn, (Z if name == "loggamma" else X,) * n)
    with pytest.raises(MissingRuleError, match=why):
        jvp_graph(graph, [i == operand for i in range(n)])


def test_derivatives_at_awkward_points():
    assert derivative(s.spence, (1.0,)) == [-1.0]
    assert derivative(s.factorial, (-1.5,)) == [0.0]
    assert derivative(s.si, (0.0,)) == [1.0]


def test_a_harmonic_has_a_slope_at_the_pole():
    one, at, phi = np.array([1]), np.zeros(1), np.full(1, 0.4)
    graph = stage(lambda n, t, p: s.sph_harm_y(n, n, t, p, n_max=1), (one, at, phi))
    forward, _ = jvp_graph(graph, [False, True, False])
    got = Executable(forward).jitted(one, at, phi, np.ones(1))[1]
    np.testing.assert_allclose(got, -np.sqrt(3 / (8 * np.pi)) * np.exp(0.4j), rtol=1e-14)
