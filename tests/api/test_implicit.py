"""What a solver finds is differentiated as the answer to its problem: exact, in every mode, whatever it does."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import GradlabError
from tests.control.support import GL, LAX, agree, same

A = np.array([[3.0, 1.0, 0.2], [0.3, 4.0, 0.1], [0.5, -0.2, 2.0]])
B = np.array([1.0, -2.0, 0.5])


def jacobi(lx, diagonal):
    """A solver by iteration, which no one can transpose."""

    def solve(matvec, b):
        def step(x):
            return x + (b - matvec(x)) / diagonal

        return lx.while_loop(lambda x: lx.np.max(lx.np.abs(matvec(x) - b)) > 1e-15, step, b)

    return solve


def by_iteration(lx, a, b):
    solve = jacobi(lx, lx.np.diag(a))
    return lx.custom_linear_solve(lambda x: a @ x, b, solve, solve)


def solved(lx, a, b):
    return lx.np.linalg.solve(a, b)


def symmetric(lx, a, b):
    """A pytree of unknowns and an auxiliary value; the matrix is its own transpose."""
    spd = lx.np.array([2.0, 0.3, 1.5]) + a * a

    def matvec(x):
        return {"u": spd * x["u"] + 0.2 * x["v"], "v": 0.2 * lx.np.sum(x["u"]) + 3.0 * x["v"]}

    def solve(mv, r):
        def step(s):
            k, x = s
            left = {name: r[name] - y for name, y in mv(x).items()}
            return k + 1, {"u": x["u"] + left["u"] / spd, "v": x["v"] + left["v"] / 3.0}

        k, x = lx.while_loop(lambda s: s[0] < 40, step, (0, r))
        return x, {"steps": k, "left": x["v"] * 2.0}

    return lx.custom_linear_solve(matvec, {"u": b * a, "v": a[0]}, solve, symmetric=True, has_aux=True)


def symmetric_directly(lx, a, b):
    spd = lx.np.array([2.0, 0.3, 1.5]) + a * a
    m = lx.np.concatenate([lx.np.concatenate([lx.np.diag(spd), 0.2 * lx.np.ones((3, 1))], 1), A_LAST], 0)
    x = lx.np.linalg.solve(m, lx.np.concatenate([b * a, a[:1]]))
    still = jax.lax.stop_gradient(x[3]) if lx is LAX else gl.stop_gradient(x[3])
    return {"u": x[:3], "v": x[3]}, {"steps": 40, "left": still * 2.0}


A_LAST = np.array([[0.2, 0.2, 0.2, 3.0]])


def newton(lx, f, x0):
    def step(x):
        y, slope = lx.jvp(f, (x,), (lx.np.ones_like(x),))
        return x - y / slope

    return lx.while_loop(lambda x: lx.np.abs(f(x)) > 1e-15, step, x0)


def cubic(lx, a, b):
    """A scalar root; the solver divides by the slope, as in JAX's documentation. The parameters are closed over."""
    return lx.custom_root(
        lambda x: a * x**3 + x - b, b, lambda f, x0: newton(lx, f, x0), lambda g, y: y / g(lx.np.ones_like(y))
    )


def cardano(lx, a, b):
    p, q = 1 / a, b / a
    root = lx.np.sqrt(q * q / 4 + p**3 / 27)
    return lx.np.cbrt(q / 2 + root) - lx.np.cbrt(root - q / 2)


CASES = {
    "by iteration": (by_iteration, (A, B), solved),
    "symmetric, aux": (symmetric, (B, B + 0.3), symmetric_directly),
    "root": (cubic, (1.3, 0.7), cardano),
}


@pytest.mark.parametrize("name", CASES)
def test_every_transformation(name):
    fun, args, reference = CASES[name]
    agree(fun, args, reference=reference, rtol=1e-9)


def system(lx, a, b, tangent_solve):
    """A root in several arrays: u + a sin v = b, v − a u² = 1."""

    def f(x):
        return {"u": x["u"] + 0.3 * a * lx.np.sin(x["v"]) - b, "v": x["v"] - 0.2 * a * x["u"] ** 2 - 1.0}

    def relax(f, x):
        return lx.fori_loop(0, 60, lambda _, x: jax.tree.map(lambda old, r: old - r, x, f(x)), x)

    return lx.custom_root(f, {"u": b, "v": b}, relax, tangent_solve)


def relaxed(lx):
    """x with g(x) = b for a g near the identity, by iteration."""

    def solve(g, b):
        return lx.fori_loop(0, 60, lambda _, x: jax.tree.map(lambda x, y, r: x + r - y, x, g(x), b), b)

    return solve


def test_a_root_in_several_arrays_and_an_iteration_for_its_tangents():
    def ours(a, b):
        x = system(GL, a, b, relaxed(GL))
        return x["u"], x["v"]

    def scanned(lx, a, b):
        turn = lambda s, _: ((b - 0.3 * a * lx.np.sin(s[1]), 1.0 + 0.2 * a * s[0] ** 2), None)  # noqa: E731
        return lx.scan(turn, (b, b), None, length=80)[0]

    agree(lambda lx, a, b: ours(a, b), (0.7, B), reference=scanned, rtol=1e-9)


def test_jax_differentiates_the_program():
    """The rules stay with the program: JAX's derivatives of what gradlab read are those of the problem too."""

    def along(xs):
        return tuple(jnp.cos(x) for x in xs)

    for fun, args, reference in CASES.values():
        if fun is symmetric:
            reference = None

        def total(f, lx):
            return lambda *xs: sum(jnp.sum(jnp.sin(y)) for y in jax.tree.leaves(f(lx, *xs)) if y.dtype.kind == "f")

        given = [jnp.asarray(a) for a in args]
        ours, theirs = total(fun, GL), total(reference or fun, LAX)
        read = gl.jit(ours)
        of_slope = gl.jit(lambda *xs, f=ours: sum(jnp.sum(g**2) for g in gl.grad(f, (0, 1))(*xs)))
        slope = lambda *xs, f=theirs: sum(jnp.sum(g**2) for g in jax.grad(f, (0, 1))(*xs))  # noqa: E731
        both = jax.jit(
            lambda *xs, read=read, theirs=theirs, of_slope=of_slope, slope=slope: (
                (jax.grad(read, (0, 1))(*xs), jax.jvp(read, xs, along(xs))[1], jax.grad(of_slope, (0, 1))(*xs)),
                (jax.grad(theirs, (0, 1))(*xs), jax.jvp(theirs, xs, along(xs))[1], jax.grad(slope, (0, 1))(*xs)),
            )
        )
        same(*both(*given), rtol=1e-9)


def test_a_direct_solver_is_transposed_itself():
    def f(a, b):
        def solve(_, b):
            return gnp.linalg.inv(gl.stop_gradient(a)) @ b, b.sum()

        return gl.custom_linear_solve(lambda x: a @ x, b, solve, has_aux=True)[0].sum()

    wanted = jax.grad(lambda a, b: solved(LAX, a, b).sum(), (0, 1))(A, B)
    same(gl.grad(f, (0, 1))(A, B), wanted)
    same(jax.grad(gl.jit(f), (0, 1))(A, B), wanted)

    def g(a, b):
        inverse = gnp.linalg.inv(gl.stop_gradient(a))
        return gl.custom_root(lambda x: a @ x - b, b, lambda f, x: x - inverse @ f(x), lambda g, y: inverse @ y).sum()

    same(gl.grad(g, (0, 1))(A, B), wanted, rtol=1e-9)


def test_what_cannot_be_transposed_says_what_is_missing():
    def f(a):
        solve = jacobi(GL, gnp.diag(A))
        return gl.custom_linear_solve(lambda x: (a * A) @ x, B, solve).sum()

    np.testing.assert_allclose(gl.jvp(f, (1.0,), (1.0,))[1], -np.linalg.solve(A, B).sum())
    with pytest.raises(NotImplementedError, match="Give it transpose_solve, or symmetric=True"):
        gl.grad(f)(1.0)


def test_the_guess_has_no_derivative_and_the_auxiliary_value_none():
    def f(a, x0):
        def solve(f, x0):
            return newton(GL, f, x0), a * 5.0

        return gl.custom_root(lambda x: x * x - a, x0, solve, lambda g, y: y / g(1.0), has_aux=True)

    slopes = gl.jacfwd(f, (0, 1))(4.0, 1.0)
    same(slopes, ((np.float64(0.25), np.float64(0.0)), (np.float64(0.0), np.float64(0.0))))
    assert gl.grad(lambda x0: f(4.0, x0)[0])(1.0) == 0.0


def test_batches_in_any_of_its_parts():
    def f(a, b, x0):
        return gl.custom_root(lambda x: x * x * a - b, x0, lambda f, x: newton(GL, f, x), lambda g, y: y / g(1.0))

    many = np.array([1.0, 2.0, 3.0])
    for axes in ((0, None, None), (None, 0, None), (None, None, 0), (0, 0, 0)):
        args = [many if on == 0 else np.float64(2.0) for on in axes]
        got = gl.vmap(gl.value_and_grad(f, (0, 1)), axes)(*args)
        a, b = (np.broadcast_to(x, 3) for x in args[:2])
        same(got, (np.sqrt(b / a), (-np.sqrt(b / a) / (2 * a), 1 / np.sqrt(a * b) / 2)), rtol=1e-12)


def test_complex_and_narrow_numbers():
    def f(z):
        return gl.custom_root(
            lambda x: x * x - z, z, lambda f, x: gl.fori_loop(0, 30, lambda _, x: x - f(x) / (2 * x), x), slope
        )

    def slope(g, y):
        return y / g(gnp.ones_like(y))

    z = 1.0 + 2.0j
    np.testing.assert_allclose(gl.grad(f, holomorphic=True)(z), 0.5 / np.sqrt(z), rtol=1e-12)
    got = gl.grad(f)(np.float32(2.0))
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, 0.5 / np.sqrt(2.0), rtol=1e-6)


def test_inside_a_loop():
    def f(a):
        def turn(c, _):
            c = gl.custom_root(lambda x: x**3 + x - c - a, c, lambda f, x: newton(GL, f, x), lambda g, y: y / g(1.0))
            return c, c

        return gl.scan(turn, a, None, length=4)[1].sum()

    slope, curvature = gl.grad(f)(0.7), gl.grad(gl.grad(f))(0.7)
    h = 1e-5
    np.testing.assert_allclose(slope, (f(0.7 + h) - f(0.7 - h)) / (2 * h), rtol=1e-8)
    np.testing.assert_allclose(curvature, (gl.grad(f)(0.7 + h) - gl.grad(f)(0.7 - h)) / (2 * h), rtol=1e-8)


def test_roots_and_solvers_of_jax_are_read():
    def root(a):
        def solve(f, x):
            step = lambda x: x - f(x) / jax.jvp(f, (x,), (1.0,))[1]  # noqa: E731
            return jax.lax.while_loop(lambda x: jnp.abs(f(x)) > 1e-13, step, x)

        return jax.lax.custom_root(lambda x: x * x * jnp.sin(a) - 1.0, 1.0, solve, lambda g, y: y / g(1.0))

    def conjugate(a):
        return jax.scipy.sparse.linalg.cg(lambda x: (A + A.T) @ x * a, jnp.asarray(B))[0].sum()

    for f in (root, conjugate):
        same(gl.jit(gl.grad(f))(0.7), jax.jit(jax.grad(f))(0.7))
        same(gl.jit(gl.grad(gl.grad(f)))(0.7), jax.jit(jax.grad(jax.grad(f)))(0.7))


WRONG = {
    "integers": (lambda a: gl.custom_root(lambda x: x - a, 1, lambda f, x: x, lambda g, y: y), r"astype\(float\)"),
    "residual": (lambda a: gl.custom_root(lambda x: (x, a), a, lambda f, x: x, lambda g, y: y), "same nesting"),
    "solution": (lambda a: gl.custom_root(lambda x: x, a, lambda f, x: (x, x), lambda g, y: y), "same nesting"),
    "aux": (lambda a: gl.custom_root(lambda x: x, a, lambda f, x: x, lambda g, y: y, has_aux=True), r"\(x, aux\)"),
    "shape": (lambda a: gl.custom_linear_solve(lambda x: gnp.ones(3) * x, a, lambda mv, b: b), "shapes and dtypes"),
    "nonlinear": (lambda a: gl.custom_linear_solve(lambda x: x * x, a, lambda mv, b: b, lambda mv, b: b), "not linear"),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors(name):
    call, remedy = WRONG[name]
    with pytest.raises(GradlabError, match=remedy):
        gl.grad(call)(0.5)
