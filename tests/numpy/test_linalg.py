"""gradlab.numpy.linalg and gradlab.scipy.linalg: values, dtypes and gradients are JAX's; right at the edges."""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError, DTypeError, MissingRuleError, ShapeError

from .compare import Call, compare

RNG = np.random.default_rng(5)
A = RNG.normal(size=(4, 4)) + 2 * np.eye(4)
C = A + 0.5j * RNG.normal(size=(4, 4))
P = A @ A.T + np.eye(4)
H = C @ C.conj().T + np.eye(4)
T = RNG.normal(size=(2, 3, 3)) + 2 * np.eye(3)
B = RNG.normal(size=(4, 2))
W = RNG.normal(size=(2, 4))
V = RNG.normal(size=4)
I = np.array([[3, 1, 0, 0], [1, 4, 1, 0], [0, 1, 5, 2], [0, 0, 2, 6]])  # noqa: E741
F = A.astype(np.float32)
L = gnp.linalg
S = gl.scipy.linalg


def call(fn, *args, grad=True):
    return Call(fn.__code__.co_name + str(fn.__code__.co_firstlineno), fn, args, grad, False)


def scipy_of(module):
    return S if module is gnp else jsl


def sp(fn, *args, grad=True):
    return Call(f"scipy{fn.__code__.co_firstlineno}", lambda m, *xs: fn(scipy_of(m), *xs), args, grad, False)


def each(names, *args, grad=True, **how):
    return [
        Call(f"{name}{how or ''}", lambda m, *xs, n=name: getattr(m.linalg, n)(*xs, **how), args, grad, False)
        for name in names.split()
    ]


def rebuilt(m, x):
    """A matrix from its complex spectrum: no phase is left in it."""
    w, v = m.linalg.eigh(x)
    return [w, (v * w**2) @ v.conj().T, m.abs(v)]


TABLES = {
    "solving": [
        *each("solve", A, V), *each("solve", C, B), *each("solve", I, V),
        call(lambda m, a, b: m.linalg.solve(a, b), T, RNG.normal(size=(2, 3, 2))),
        call(lambda m, a, b: m.linalg.solve(a, b), T[0], RNG.normal(size=(2, 3, 1)), grad=False),
        call(lambda m, a, b: m.linalg.solve(a, b), T, V[:3], grad=False),
        call(lambda m, a, b: m.linalg.solve(a[:, None], b), T, RNG.normal(size=(2, 3, 1))),
        *each("inv det slogdet pinv", A), *each("inv det", T), *each("inv slogdet", C),
        *each("slogdet", I), *each("inv", F, grad=False), *each("pinv", B + 1j * B[::-1]),
        *each("pinv", P, hermitian=True), *each("pinv", T, rtol=np.array([0.1, 0.5])),
        *each("det inv", A[:1, :1]), *each("det", C[:2, :2]),
        *each("lstsq", np.vstack([A, A[:1]]), RNG.normal(size=5), grad=False),
        call(lambda m, a, b: m.linalg.lstsq(a, b)[:2], np.vstack([A, A[:1]]), RNG.normal(size=(5, 2))),
        call(lambda m, a, b: [m.linalg.lstsq(a, b)[i] for i in (0, 3)], W, V[:2]),
        call(lambda m, a, b: m.linalg.lstsq(a, b, rcond=0.3)[2], A, V, grad=False),
        *each("tensorinv", RNG.normal(size=(2, 3, 3, 2)) + np.eye(6).reshape(2, 3, 3, 2)),
        *each("tensorsolve", RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 3))),
        call(lambda m, a, b: m.linalg.tensorsolve(a, b, (0,)), RNG.normal(size=(4, 2, 2)), RNG.normal(size=(2, 2))),
    ],
    "decompositions": [
        *each("cholesky", P), *each("cholesky", H), *each("cholesky", P, upper=True), *each("cholesky", I),
        *each("cholesky", A, grad=False), *each("cholesky", P, symmetrize_input=False, grad=False),
        *each("eigh eigvalsh", P), *each("eigh eigvalsh", T @ T.swapaxes(1, 2)), *each("eigvalsh", H),
        *each("eigh", A, UPLO="U"), *each("eigh", P, symmetrize_input=False), call(rebuilt, H),
        *each("eigvals", A), *each("eigvals", C), *each("eig", A, grad=False),
        *each("qr", A), *each("qr", C), *each("qr", B), *each("qr", T), *each("qr", A, mode="r"),
        *each("qr", B, mode="complete", grad=False), *each("qr", W, grad=False),
        *each("svdvals", A), *each("svdvals", W), *each("svdvals", C), *each("svd", A, full_matrices=False),
        *each("svd", W, full_matrices=False), *each("svd", B, grad=False), *each("svd", T, compute_uv=False),
        *each("svd", P, hermitian=True), *each("svd", A + A.T, hermitian=True, compute_uv=False),
    ],
    "norms and products": [
        *each("norm cond matrix_norm vector_norm", A), *each("matrix_rank", A), *each("norm", A, ord=2),
        *each("norm", C, ord="nuc"), *each("norm", A, ord=-2), *each("matrix_norm", T, ord=2, keepdims=True),
        *each("matrix_norm", T.swapaxes(0, 1), ord="nuc"), *each("norm", T, ord=2, axis=(2, 0)),
        *each("cond", A, p=1), *each("cond", T, p="fro"), *each("cond", B, p=-2),
        *each("matrix_rank", np.outer(V, V)), *each("matrix_rank", T, rtol=np.array([0.1, 9.0])),
        *each("matrix_rank", V),
        *each("diagonal trace matrix_transpose", T), *each("diagonal trace", T, offset=1),
        *each("cross outer vecdot", V[:3], A[0, :3]), *each("matmul tensordot", A, P),
        call(lambda m, a, b, v: m.linalg.multi_dot([a, b, b.T, v]), A, B, V),
        *[c for n in (0, 1, 2, 5, -3) for c in each("matrix_power", A, n=n)], *each("matrix_power", I, n=3),
    ],
    "scipy": [
        sp(lambda s, a, b: s.solve(a, b), A, V), sp(lambda s, a, b: s.solve(a, b, assume_a="pos"), P, V),
        # (JAX takes a complex Hermitian matrix for symmetric when it transposes.)
        sp(lambda s, a, b: s.solve(a, b, assume_a="pos", lower=True), H, B + 0j, grad=False),
        sp(lambda s, a, b: s.cho_solve(s.cho_factor((a + a.T) / 2), b), P, V),
        sp(lambda s, a, b: s.cho_solve((s.cholesky(a, lower=True), True), b), H, B + 0j, grad=False),
        sp(lambda s, a, b: [s.solve_triangular(a, b, trans=t, lower=not t) for t in (0, "T", 2)], A, B),
        sp(lambda s, a, b: s.solve_triangular(a, b, 2, unit_diagonal=True), C, B + 0j),
        sp(lambda s, a, b: [s.lu_solve(s.lu_factor(a), b, trans) for trans in (0, 1)], A, V),
        sp(lambda s, a: [*s.lu(a), *s.lu(a, permute_l=True)], A), sp(lambda s, a: s.lu(a), B),
        sp(lambda s, a: s.lu(a), W),
        sp(lambda s, a: [s.inv(a), s.det(a)], A),
        sp(lambda s, a: [*s.svd(a, False), *s.qr(a), *s.qr(a, mode="r")], A, grad=False),
        sp(lambda s, a: [*s.eigh(a), s.eigh(a, eigvals_only=True)], P), sp(lambda s, a: s.expm(a), A / 3, grad=False),
        sp(lambda s, a, e: s.expm_frechet(a, e), A[:2, :2], P[:2, :2], grad=False),
        sp(lambda s, a, b, c: s.solve_sylvester(a, b, c), P, P[:2, :2], B, grad=False),
        sp(lambda s, a: s.sqrtm(a), P, grad=False), sp(lambda s, a, b, c: s.block_diag(a, b, c, 2.0), A, W, V),
        sp(lambda s, c, r: [s.toeplitz(c), s.toeplitz(c, r), s.hankel(c), s.hankel(c, r)], V, RNG.normal(size=3)),
        sp(lambda s, c: s.toeplitz(c), V + 1j),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_like_jax(name):
    compare(TABLES[name], atol=1e-11)


@pytest.mark.parametrize("name", [n for n in dir(jnp.linalg) if not n.startswith("_")])
def test_all_of_jax_is_here_with_its_arguments(name):
    theirs, ours = getattr(jnp.linalg, name), getattr(L, name)
    if callable(theirs):
        missing = inspect.signature(theirs).parameters.keys() - inspect.signature(ours).parameters.keys()
        # jax.numpy's own tensordot and matmul stand here too, with other names for what is positional.
        assert not missing - {"x1", "x2", "x", "out_sharding"}


# -- where a factorization is singular

Q, _ = np.linalg.qr(RNG.normal(size=(4, 4)))
O, _ = np.linalg.qr(RNG.normal(size=(4, 4)))  # noqa: E741
TWICE = (Q * [1.0, 1.0, 2.0, 2.0]) @ Q.T
SINGULAR = {
    "a pivot rounded to 0": (Q * [3.0, 2.0, 1.0, 0.0]) @ O,
    "a pivot that is 0": np.arange(16.0).reshape(4, 4) ** 2 * np.array([1.0, 1.0, 0.0, 1.0]),
    "two of them, one too many": np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]),
    "rank n - 2": (Q * [3.0, 2.0, 0.0, 0.0]) @ O,
    "rank n - 2, exactly": np.diag([2.0, 3.0, 0.0, 0.0]),
    "rank 1": np.outer(V, V),
    "nothing": np.zeros((4, 4)),
    "regular": A,
}


ONE_AT_MOST = ("a pivot rounded to 0", "a pivot that is 0", "regular")  # so the second derivative is right too


def expanded(m, x):
    """The determinant as the polynomial it is."""
    if len(x) == 1:
        return x[0][0]
    minors = [[[v for j, v in enumerate(row) if j != k] for row in x[1:]] for k in range(len(x))]
    return sum((-1) ** k * x[0][k] * expanded(m, minors[k]) for k in range(len(x)))


@jax.jit
def det_by_jax(x, e):
    def gradient(x):
        return jax.grad(lambda x: expanded(jnp, [[x[i, j] for j in range(4)] for i in range(4)]))(x)

    return jax.jvp(gradient, (x,), (e,))


@gl.jit
def det_by_us(x, e):
    return gl.jvp(gl.grad(L.det), (x,), (e,))


@pytest.mark.parametrize("name", SINGULAR)
def test_gradient_of_a_determinant_is_the_cofactor_matrix(name):
    x = SINGULAR[name]
    e = np.cos(np.arange(16.0)).reshape(4, 4)
    (gradient, second), (want, want_second) = det_by_us(x, e), det_by_jax(x, e)
    size = max(np.abs(x).max(), 1.0)
    np.testing.assert_allclose(gradient, want, rtol=1e-11, atol=1e-13 * size**3)
    if name in ONE_AT_MOST:
        np.testing.assert_allclose(second, want_second, rtol=1e-9, atol=1e-11 * size**2)


def trace_of_log(x):
    return gnp.sum(gnp.log(L.eigvalsh(x)))


EDGES = {
    "sum of repeated eigenvalues": (lambda x: gnp.sum(L.eigh(x)[0]), TWICE, np.eye(4)),
    "trace of a function, eigenvalues repeated": (trace_of_log, TWICE, np.linalg.inv(TWICE)),
    "the identity's eigenvalues": (lambda x: gnp.sum(L.eigh(x).eigenvalues ** 2), np.eye(4), 2 * np.eye(4)),
    "sum of squared singular values, repeated": (lambda x: gnp.sum(L.svd(x)[1] ** 2), TWICE, 2 * TWICE),
    "nuclear norm, singular values repeated": (lambda x: L.norm(x, "nuc"), Q * 3.0, Q),
    "squared singular values of a singular matrix": (
        lambda x: gnp.sum(L.svd(x, full_matrices=False)[1] ** 2), SINGULAR["rank n - 2, exactly"],
        2 * SINGULAR["rank n - 2, exactly"],
    ),
    "largest singular value of a singular matrix": (
        lambda x: L.norm(x, 2), np.diag([2.0, 3.0, 0.0, 0.0]), np.diag([0.0, 1.0, 0.0, 0.0])
    ),
    "the norm of zeros": (lambda x: L.norm(x), np.zeros((4, 4)), np.zeros((4, 4))),
    "a sum over the pseudo-inverse of a singular matrix": (
        lambda x: gnp.sum(L.pinv(x) * P), np.diag([2.0, 4.0, 0.0, 0.0]),
        jax.grad(lambda x: jnp.sum(jnp.linalg.pinv(x) * P))(jnp.diag(jnp.array([2.0, 4.0, 0.0, 0.0]))),
    ),
    "least squares without full rank": (
        lambda x: gnp.sum(L.lstsq(x, V)[0]), np.diag([2.0, 4.0, 0.0, 0.0]),
        jax.grad(lambda x: jnp.sum(jnp.linalg.pinv(x) @ V))(jnp.diag(jnp.array([2.0, 4.0, 0.0, 0.0]))),
    ),
    "the power 0": (lambda x: gnp.sum(L.matrix_power(x, 0)), A, np.zeros((4, 4))),
}  # fmt: skip


@pytest.mark.parametrize("name", EDGES)
def test_gradient_at_the_edge(name):
    fn, x, want = EDGES[name]
    np.testing.assert_allclose(gl.grad(fn)(x), want, rtol=1e-11, atol=1e-12, err_msg=name)


def test_vectors_of_repeated_values_have_finite_derivatives():
    def smooth(x):
        w, v = L.eigh(x)
        u, s, vh = L.svd(x)
        return gnp.sum(gnp.sin((v * gnp.exp(w)) @ v.T) + (u * s) @ vh)

    for x in (TWICE, np.eye(4), np.zeros((4, 4)), np.diag([1.0, 0.0, 0.0, 0.0])):
        assert np.all(np.isfinite(gl.grad(smooth)(x)))
    # Away from repeated values a matrix put together again is the matrix.
    e = np.cos(np.arange(16.0)).reshape(4, 4)
    _, moved = gl.jvp(lambda x: (L.svd(x)[0] * L.svd(x)[1]) @ L.svd(x)[2], (SINGULAR["a pivot rounded to 0"],), (e,))
    np.testing.assert_allclose(moved, e, atol=1e-10)


def test_singular_and_indefinite():
    sign, log = gl.jit(L.slogdet)(np.zeros((3, 3)))
    assert (sign, log) == (0.0, -np.inf)
    value, gradient = gl.value_and_grad(lambda x: gnp.sum(L.cholesky(x)))(-np.eye(3))
    assert np.isnan(value) and np.all(np.isnan(gradient))


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0)])
def test_of_nothing(shape):
    x = np.zeros(shape)
    names = "inv det slogdet cholesky eigh eigvalsh qr svdvals matrix_transpose pinv norm"

    def every(m, x):
        outs = [getattr(m.linalg, n)(x) for n in names.split()] + [m.linalg.solve(x, x), m.linalg.matrix_power(x, 2)]
        return [y for out in outs for y in (out if isinstance(out, tuple) else (out,))]

    for ours, theirs in zip(gl.jit(lambda x: every(gnp, x))(x), every(jnp, x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype
    assert gl.grad(lambda x: gnp.sum(L.det(x)) + gnp.sum(L.inv(x)))(x).shape == shape


# -- how it runs


def test_one_factorization_serves_all():
    text = gl.source(gl.grad(lambda a, b: gnp.sum(gnp.sin(L.solve(a, b))), argnums=(0, 1)))(A, V)
    assert text.count("lax.linalg.lu(") == 1
    assert text.count("triangular_solve(") == 4
    text = gl.source(gl.hessian(lambda a: L.slogdet(a)[1]))(A[:2, :2])
    assert text.count("lax.linalg.lu(") == 1


def test_one_matrix_is_not_repeated_for_a_batch():
    text = gl.source(gl.vmap(lambda b: L.solve(A, b)))(np.ones((5, 4)))
    text = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    assert "vmap" not in text and "(5, 4, 4)" not in text
    np.testing.assert_allclose(
        gl.vmap(gl.grad(lambda b: gnp.sum(L.solve(A, b) ** 2)))(B.T),
        jax.vmap(jax.grad(lambda b: jnp.sum(jnp.linalg.solve(A, b) ** 2)))(B.T),
        rtol=1e-12,
    )


def test_results_have_names():
    def named(x):
        w = L.eigh(x)
        s = L.svd(x)
        return w.eigenvalues, w.eigenvectors, s.U, s.S, s.Vh, *L.qr(x)._fields, L.slogdet(x).logabsdet, L.eig(x)._fields

    assert gl.stage(lambda x: [y for y in named(x) if not isinstance(y, str | tuple)])(P) is not None


def test_numpy_means_ours():
    def loss(x):
        q, r = np.linalg.qr(x)
        return np.linalg.norm(np.linalg.inv(x)) + np.linalg.slogdet(x)[1] + np.sum(r) + np.linalg.det(q)

    want = jax.grad(
        lambda x: jnp.linalg.norm(jnp.linalg.inv(x)) + jnp.linalg.slogdet(x)[1] + jnp.sum(jnp.linalg.qr(x)[1])
    )
    np.testing.assert_allclose(gl.grad(loss)(A), want(A), atol=1e-12)


def test_plain_arrays_go_to_jax():
    assert isinstance(L.solve(A, V), jax.Array) and isinstance(S.expm(A), jax.Array)
    np.testing.assert_allclose(jax.grad(lambda x: L.det(x))(A), jax.grad(jnp.linalg.det)(A), rtol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "error", "remedy"),
    [
        (lambda x: L.inv(x[:2]), ShapeError, "square"),
        (lambda x: L.cholesky(x[0]), ShapeError, "Reshape it to two axes"),
        (lambda x: L.solve(x, x[:2]), ShapeError, r"b\[..., None\]"),
        (lambda x: L.eigh(x.astype("float16")), DTypeError, "astype"),
        (lambda x: L.qr(x, mode="raw"), MissingRuleError, "reduced"),
        (lambda x: L.eigh(x, "X"), ArgumentError, "triangle"),
        (lambda x: L.multi_dot([x, x[:2]]), ShapeError, "chain"),
        (lambda x: L.matrix_power(x, 0.5), ArgumentError, "sqrtm"),
        (lambda x: L.svd(x, subset_by_index=(0, 2)), ArgumentError, "full_matrices=False"),
        (lambda x: L.norm(x, "max"), ValueError, "nuc"),
        (lambda x: S.qr(x, pivoting=True), MissingRuleError, "Reorder"),
        (lambda x: S.solve_triangular(x, x, trans=3), ArgumentError, "'C'"),
    ],
)
def test_errors(wrong, error, remedy):
    with pytest.raises(error, match=remedy):
        gl.stage(wrong)(A)
