"""gradlab.numpy.special: values, dtypes and gradients are jax.scipy.special's; at edges derivatives are right.

SciPy's ufuncs on a tracer mean these functions.
"""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ConversionError, DTypeError

from .compare import Call, compare

S = gnp.special
J = jax.scipy.special
X = np.array([[0.3, -1.2, 2.6], [1.1, 0.7, -0.4]])
P = abs(X) + 0.25
Q = P[::-1] + 0.5
U = P / 4
V = np.array([0.5, 2.0, 3.25])
I = np.array([[3, 1, 2], [5, 1, 4]])  # noqa: E741
F = P.astype(np.float32)
LOW = np.array([[0.3, -np.inf, 2.6], [-np.inf, 0.7, -0.4]])


def special(names: str, *args, still: tuple[int, ...] = (), grad: bool = True, **kwargs) -> list[Call]:
    """Calls of the functions named, with the operands of these indices held constant."""
    moving = [i for i, a in enumerate(args) if isinstance(a, np.ndarray) and i not in still]

    def make(name: str) -> Call:
        def fn(module, *xs):
            given = list(args)
            for i, x in zip(moving, xs, strict=True):
                given[i] = x
            return getattr(S if module is gnp else J, name)(*given, **kwargs)

        shapes = ", ".join(f"{a.dtype}{a.shape}" if isinstance(a, np.ndarray) else repr(a) for a in args)
        return Call(f"{name}({shapes}{kwargs or ''})", fn, tuple(args[i] for i in moving), grad, False)

    return [make(name) for name in names.split()]


ELEMENTWISE = [
    *special("erf erfc gammaln gamma digamma i0 i0e i1 i1e expit ndtr log_ndtr", X),
    *special("erfinv logit entr", U),
    *special("erf gammaln gamma digamma i0 expit logit entr ndtr log_ndtr", F / 4),
    *special("erf gammaln gamma expit i1 entr", I),
    *special("betaln beta xlogy xlog1py rel_entr kl_div", P, V),
    *special("betaln kl_div", F, I, still=(1,)),
    *special("xlogy xlog1py rel_entr", F, I, grad=False),  # of which JAX 0.10 has no derivative
    *special("xlogy", P, 2.5),
    *special("gammasgn", X),
    *special("log_ndtr", 12 * X),
    *special("gamma gammasgn", np.array([0.0, -0.0, -1.0, -2.5, -3.5, np.nan, np.inf]), grad=False),
    *special("xlogy xlog1py", np.zeros(5), np.array([0.0, 2.0, -1.0, np.inf, np.nan]), grad=False),
    *special("rel_entr", np.array([0.0, 0.0, 1.0, -1.0]), np.array([0.0, 1.0, 0.0, 1.0]), grad=False),
    *special("entr", np.array([0.0, -1.0, 1.0]), grad=False),
    *special("multigammaln", P + 2.0, 3),
]
SLOW = [  # XLA takes a second for each derivative of these
    *special("polygamma", 1, P),
    *special("polygamma", I, P, still=(0,)),
    *special("zeta", P + 2, Q, still=(0,)),
    *special("gammainc gammaincc", P, V, still=(0,)),
    *special("betainc", P, V, U, still=(0, 1)),
]
SUMS = [
    *special("logsumexp softmax log_softmax", X, axis=1),
    *special("logsumexp softmax log_softmax", LOW, axis=0),
    *special("softmax log_softmax", X, axis=None),
    *special("logsumexp softmax log_softmax", F, axis=(0, 1)),
    *special("logsumexp softmax log_softmax", I, axis=-1),
    *special("softmax log_softmax", 1e3 * X, axis=1),
    *special("logsumexp", X, keepdims=True),
    *special("logsumexp", X, 1, V),
    *special("logsumexp", X, 0, -P, return_sign=True),
    *special("logsumexp", X, (0, 1), X, keepdims=True, return_sign=True),
    *special("logsumexp", X, 0, -P, grad=False),
    *special("logsumexp", LOW, 0, return_sign=True, grad=False),
    *special("logsumexp", np.full(3, -np.inf), return_sign=True, grad=False),
    *special("logsumexp", np.array([1.0, np.inf]), b=np.array([1.0, 0.0]), grad=False),
    *special("softmax log_softmax", np.array([0.0, np.inf]), axis=0, grad=False),
    *special("logsumexp", X, 1, where=np.array([True, False, True])),
]


@pytest.mark.parametrize("calls", [ELEMENTWISE, SLOW, SUMS], ids=["elementwise", "slow", "sums"])
def test_like_jax(calls):
    compare(calls)


EDGES = {
    "xlogy where x is 0": (S.xlogy, (0.0, 2.0), (np.log(2.0), 0.0)),
    "xlogy at the origin": (S.xlogy, (0.0, 0.0), (-np.inf, 0.0)),
    "xlog1py at its corner": (S.xlog1py, (0.0, -1.0), (-np.inf, 0.0)),
    "entr at 0": (S.entr, (0.0,), (np.inf,)),
    "entr below 0": (S.entr, (-1.0,), (0.0,)),
    "rel_entr at 0": (S.rel_entr, (0.0, 2.0), (0.0, 0.0)),
    "kl_div at 0": (S.kl_div, (0.0, 2.0), (-1.0, 1.0)),
    "logit at 0": (S.logit, (0.0,), (np.inf,)),
    "log_ndtr far below": (S.log_ndtr, (-40.0,), (40.02496886,)),
    "logsumexp of nothing": (lambda x: S.logsumexp(x), (np.full(2, -np.inf),), (np.zeros(2),)),
    "logsumexp of one infinity": (lambda x: S.logsumexp(x), (np.array([0.0, np.inf]),), (np.array([0.0, 1.0]),)),
    "logsumexp with a weight of 0": (
        lambda x, b: S.logsumexp(x, b=b), (np.array([1.0, 2.0]), np.array([1.0, 0.0])), (np.array([1.0, 0.0]),
        np.array([1.0, np.e])),
    ),
    "softmax where x is -inf": (lambda x: S.softmax(x)[0], (np.array([-np.inf, 1.0, 1.0]),), (np.zeros(3),)),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_derivative_at_the_edge(name):
    fn, at, wanted = EDGES[name]
    for got, want in zip(gl.grad(fn, argnums=tuple(range(len(at))))(*at), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-9, err_msg=name)


def test_plain_arrays_and_jax_tracers_go_to_jax():
    assert isinstance(S.erf(jnp.ones(2)), jax.Array)
    np.testing.assert_allclose(jax.grad(S.erf)(0.5), jax.grad(J.erf)(0.5), rtol=1e-12)


def test_operands_may_be_named():
    np.testing.assert_allclose(gl.grad(lambda y: S.xlogy(x=3.0, y=y))(2.0), 1.5)
    with pytest.raises(TypeError, match="xlogy takes x, y"):
        gl.grad(lambda y: S.xlogy(y))(2.0)


SCIPY = "erf erfc gammaln gamma psi digamma expit ndtr log_ndtr i0 entr"


@pytest.mark.parametrize("name", SCIPY.split())
def test_scipy_on_a_tracer_means_ours(name):
    value, slope = gl.value_and_grad(getattr(scipy.special, name))(0.5)
    ours = getattr(J, "digamma" if name == "psi" else name)
    np.testing.assert_allclose(value, getattr(scipy.special, name)(0.5), rtol=1e-12)
    np.testing.assert_allclose(slope, jax.grad(ours)(0.5), rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "kind", "remedy"),
    [
        (scipy.special.itstruve0, ConversionError, r"scipy\.special\.itstruve0(.|\n)*gradlab\.numpy\.special has no"),
        (np.isnat, ConversionError, r"numpy\.isnat(.|\n)*gradlab\.numpy has no"),
        (lambda x: scipy.special.erf(x, out=np.zeros(())), ConversionError, r"erf\(\.\.\., out=a\)"),
        (lambda x: S.polygamma(1.5, x), DTypeError, "integer order"),
        (lambda x: S.log_ndtr(x.astype("float16")), DTypeError, "float32 or float64"),
        (lambda x: S.gamma(x + 1j), DTypeError, "gamma needs a dtype that is floating"),
    ],
)
def test_errors(wrong, kind, remedy):
    with pytest.raises(kind, match=remedy):
        gl.grad(wrong)(0.5)


def test_scipy_is_not_imported():
    code = """if True:
        import sys, numpy as np, gradlab as gl
        before = "scipy.special" in sys.modules
        try:
            gl.grad(np.spacing)(0.5)
        except TypeError as error:
            assert "numpy.spacing" in str(error)
        assert before == ("scipy.special" in sys.modules)
    """
    subprocess.run([sys.executable, "-c", code], check=True)
