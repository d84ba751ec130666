"""Linear algebra: every factorization through the harness, real and complex, and the points where it is singular."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest
from jax import lax

from gradlab.ops import convert
from gradlab.ops.arith import abs, mul
from gradlab.ops.convert import complex, imag, real
from gradlab.ops.linalg import cholesky as chol
from gradlab.ops.linalg import determinant, eig, functions, inverse, lstsq, lu, matrix, qr, svd, triangular
from gradlab.ops.operands import fill
from tests.support import Case

RNG = np.random.default_rng(7)
A = RNG.normal(size=(3, 3)) + 2 * np.eye(3)
B = RNG.normal(size=(3, 2))
W = RNG.normal(size=(2, 3))
T = RNG.normal(size=(2, 3, 3)) + np.eye(3)
TB = RNG.normal(size=(2, 3, 1))
C = A + 0.7j * RNG.normal(size=(3, 3))
CB = B - 1j * B[::-1]
CW = W + 0.3j * RNG.normal(size=(2, 3))
P = A @ A.T + np.eye(3)
CP = C @ C.conj().T + np.eye(3)
E = np.zeros((0, 3, 3))
F32 = ("float32",)


def nearby(x, k):
    """The k-th of a few matrices alike: rolled ones may be singular."""
    return x + 0.05 * k * np.cos(np.arange(x.size)).reshape(x.shape)


def case(fn, *args, reference=None, widths=(), **how):
    return Case(fn, args, reference, widths=widths, vary=nearby, **how)


def tri(**how):
    words = {"N": {}, "T": {"transpose_a": True}, "C": {"transpose_a": True, "conjugate_a": True}}
    left, unit = how.get("left", True), how.get("unit", False)
    return (
        lambda a, b: triangular.triangular_solve(a, b, **how),
        lambda a, b: lax.linalg.triangular_solve(
            a, b, left_side=left, lower=how["lower"], unit_diagonal=unit, **words[how.get("trans", "N")]
        ),
    )


def factored(fn):
    return lambda a, *xs: fn(a, lu.fixed_factors(a), *xs)


def fitted(fn):
    return lambda a, *xs: fn(a, inverse.pinv(convert.stop_gradient(a), fill(1e-9, pinv_limit(a))), *xs)


def pinv_limit(a):
    return matrix.Aval(a.shape[:-2], convert.part_dtype(a.dtype))


def projected(w, v):
    """What of complex eigenvectors does not depend on their phase."""
    weights = matrix.like(matrix.across(mul(w, w), v.shape[-2]), v)
    whole = matrix.dot(mul(v, weights), matrix.adjoint(v))
    return w, abs(v), real(whole), imag(whole)


def without_phase(u, s, vh):
    """What of complex singular vectors does not depend on their phase."""
    k = s.shape[-1]
    u, vh = matrix.columns_of(u, 0, k), matrix.rows_of(vh, 0, k)
    weights = matrix.like(matrix.across(mul(s, s), u.shape[-2]), u)
    whole = matrix.dot(mul(u, weights), vh)
    return s, abs(u), abs(vh), real(whole), imag(whole)


def ranged(a, *, full):
    """The projections on the spaces that a full decomposition's added vectors span."""
    u, s, vh = svd.svd(a, full=full)
    k = s.shape[-1]
    u2, v2h = matrix.columns_of(u, k, u.shape[-1]), matrix.rows_of(vh, k, vh.shape[-2])
    return s, matrix.dot(u2, matrix.adjoint(u2)), matrix.dot(matrix.adjoint(v2h), v2h), matrix.columns_of(u, 0, k)


def definite(a, b):
    a = matrix.hermitian_part(a)
    return chol.positive_solve(a, chol.cholesky(convert.stop_gradient(a)), b)


def definite_by_jax(a, b):
    return jnp.linalg.solve((a + a.conj().T) / 2, b)


CASES = {
    "triangular_solve": case(*((f := tri(lower=True))[0],), A, B, reference=f[1], widths=F32),
    "triangular_solve.upper": case(*((f := tri(lower=False, left=False))[0],), A, W, reference=f[1]),
    "triangular_solve.unit": case(*((f := tri(lower=True, unit=True, trans="T"))[0],), A, B, reference=f[1]),
    "triangular_solve.adjoint": case(*((f := tri(lower=True, trans="C"))[0],), C, CB, reference=f[1]),
    "triangular_solve.stack": case(lambda a, b: triangular.triangular_solve(a, b, lower=True), T, TB, order=1),
    "triangular_solve.empty": case(lambda a, b: triangular.triangular_solve(a, b, lower=True), E, E, batch=False),
    "cholesky": case(lambda a: chol.cholesky(matrix.hermitian_part(a)), P, reference=jnp.linalg.cholesky, widths=F32),
    "cholesky.complex": case(lambda a: chol.cholesky(matrix.hermitian_part(a)), CP, reference=jnp.linalg.cholesky),
    "lu": case(lambda a: tuple(lu.lu(a)), A, reference=lax.linalg.lu, widths=F32, order=1),
    "lu.tall": case(lambda a: lu.lu(a).lu, B, reference=lambda a: lax.linalg.lu(a)[0]),
    "lu.wide": case(lambda a: lu.lu(a).lu, CW, reference=lambda a: lax.linalg.lu(a)[0]),
    "pivots_to_permutation": case(
        lambda a: lu.pivots_to_permutation(lu.lu(a).pivots, size=3), A, reference=lambda a: lax.linalg.lu(a)[2], order=0
    ),
    "solve": case(factored(lu.solve), A, B, reference=jnp.linalg.solve, widths=F32),
    "solve.transposed": case(
        factored(lambda a, f, b: lu.solve(a, f, b, trans="T")), A, B, reference=lambda a, b: jnp.linalg.solve(a.T, b)
    ),
    "solve.adjoint": case(
        factored(lambda a, f, b: lu.solve(a, f, b, trans="C")), C, CB,
        reference=lambda a, b: jnp.linalg.solve(a.conj().T, b),
    ),
    "solve.stack": case(factored(lu.solve), T, TB, reference=jnp.linalg.solve, order=1),
    "solve.stack transposed": case(
        factored(lambda a, f, b: lu.solve(a, f, b, trans="T")), T, TB,
        reference=lambda a, b: jnp.linalg.solve(a.mT, b), order=1,
    ),
    "positive_solve": case(
        lambda a, b: chol.positive_solve(a, chol.cholesky(convert.stop_gradient(a)), b), P, B, batch=False,
        active=(False, True), reference=jnp.linalg.solve,
    ),
    "positive_solve.both": case(definite, P, B, reference=definite_by_jax, widths=F32),
    "positive_solve.complex": case(definite, CP, CB, reference=definite_by_jax, order=1),
    "inv": case(inverse.inv, A, reference=jnp.linalg.inv, widths=F32),
    "inv.complex": case(inverse.inv, C, reference=jnp.linalg.inv),
    "pinv": case(
        lambda a: inverse.pinv(a, fill(1e-9, matrix.Aval((), np.dtype(a.dtype)))), B, reference=jnp.linalg.pinv
    ),
    "pinv.wide": case(
        lambda a, r: inverse.pinv(a, r), CW, np.array(1e-9), reference=lambda a, r: jnp.linalg.pinv(a),
        active=(True, False),
    ),
    "lstsq": case(fitted(lstsq.lstsq), B, A, reference=lambda a, b: jnp.linalg.lstsq(a, b)[0], widths=F32),
    "lstsq.wide": case(fitted(lstsq.lstsq), CW, CB[:2], reference=lambda a, b: jnp.linalg.pinv(a) @ b),
    "lstsq.transposed": case(
        fitted(lambda a, p, b: lstsq.lstsq(a, p, b, trans="T")), B, W, reference=lambda a, b: jnp.linalg.pinv(a.T) @ b
    ),
    "lstsq.conjugate": case(
        fitted(lambda a, p, b: lstsq.lstsq(a, p, b, trans="R")), CW, CB[:2], order=1,
        reference=lambda a, b: jnp.linalg.pinv(a.conj()) @ b,
    ),
    "det": case(factored(determinant.det), A, reference=jnp.linalg.det, widths=F32),
    "det.stack": case(factored(determinant.det), T, reference=jnp.linalg.det, order=1),
    "det.complex": case(factored(determinant.det), C, reference=jnp.linalg.det, order=1),
    "slogdet": case(factored(determinant.slogdet), A, reference=jnp.linalg.slogdet, widths=F32),
    "slogdet.complex": case(factored(determinant.slogdet), C, reference=jnp.linalg.slogdet, order=1),
    "eigh": case(
        lambda a: eig.eigh(matrix.hermitian_part(a)), P, reference=lambda a: tuple(jnp.linalg.eigh(a)), widths=F32
    ),
    "eigh.complex": case(lambda a: projected(*eig.eigh(matrix.hermitian_part(a), lower=False)), CP, order=1),
    "eig": case(eig.eig, T[0] * 1.5, reference=lambda a: tuple(jnp.linalg.eig(a)), batch=False),
    "eig.complex": case(eig.eig, C, batch=False, order=1),
    "eigvals": case(eig.eigvals, A, reference=jnp.linalg.eigvals, batch=False),
    "qr": case(qr.qr, B, reference=lambda a: tuple(jnp.linalg.qr(a)), widths=F32),
    "qr.complex": case(qr.qr, C, reference=lambda a: tuple(jnp.linalg.qr(a))),
    "qr.wide": case(qr.qr, CW, reference=lambda a: tuple(jnp.linalg.qr(a))),
    "qr.full": case(lambda a: qr.qr(a, full=True), B, reference=lambda a: tuple(jnp.linalg.qr(a, mode="complete"))),
    "svd": case(svd.svd, B, reference=lambda a: tuple(jnp.linalg.svd(a, full_matrices=False)), widths=F32),
    "svd.wide": case(svd.svd, W, reference=lambda a: tuple(jnp.linalg.svd(a, full_matrices=False))),
    "svd.complex": case(lambda a: without_phase(*svd.svd(a)), C),
    "svd.complex tall": case(lambda a: without_phase(*svd.svd(a)), CB, order=1),
    "svd.full": case(lambda a: ranged(a, full=True), B, order=1),
    "svd.full wide": case(lambda a: ranged(a, full=True), W, order=1),
    "svdvals": case(svd.svdvals, B, reference=jnp.linalg.svdvals),
    "svdvals.wide": case(svd.svdvals, CW, reference=jnp.linalg.svdvals),
    "expm": case(functions.expm, A[:2, :2] / 2, reference=jsl.expm, batch=False),
    "expm.stack": case(functions.expm, T[:, :2, :2], reference=jsl.expm, order=0, batch=[(1,)]),
    "expm_frechet": case(
        functions.expm_frechet, A[:2, :2] / 2, B[:2], order=1,
        reference=lambda a, e: jsl.expm_frechet(a, e, compute_expm=False), batch=False,
    ),
    "expm_second": case(
        functions.expm_second, A[:2, :2] / 2, B[:2], B[:2].T, order=1, batch=False,
        reference=lambda a, e, f: jax.jvp(lambda a: jsl.expm_frechet(a, e, compute_expm=False), (a,), (f,))[1],
    ),
    "sylvester": case(functions.sylvester, P, A @ A.T, A, reference=jsl.solve_sylvester, order=1, batch=[(0, None, 1)]),
    "sqrtm": case(
        lambda a: functions.sqrtm(complex(a, fill(0.0, a.aval))), P, reference=jsl.sqrtm, order=1, batch=False
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()
