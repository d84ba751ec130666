"""What tests a loop or a branch: one function in the words of gradlab and of jax.lax, under every transformation.

A function takes the dialect it speaks first (`GL` or `LAX`), then its arguments. `agree` puts it through everything in
one compilation: values, both first-order modes, all four second-order ones, a batch, and the batch of a gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.check import check
from tests.support import QUICK

GL = SimpleNamespace(
    np=gnp,
    scan=gl.scan,
    map=gl.map,
    associative_scan=gl.associative_scan,
    cond=gl.cond,
    switch=gl.switch,
    while_loop=gl.while_loop,
    fori_loop=gl.fori_loop,
    checkpoint=gl.checkpoint,
    grad=gl.grad,
    vmap=gl.vmap,
    jvp=gl.jvp,
    custom_jvp=gl.custom_jvp,
    custom_vjp=gl.custom_vjp,
    custom_root=gl.custom_root,
    custom_linear_solve=gl.custom_linear_solve,
)
LAX = SimpleNamespace(
    np=jnp,
    scan=jax.lax.scan,
    map=jax.lax.map,
    associative_scan=jax.lax.associative_scan,
    cond=jax.lax.cond,
    switch=jax.lax.switch,
    while_loop=jax.lax.while_loop,
    fori_loop=jax.lax.fori_loop,
    checkpoint=jax.checkpoint,
    grad=jax.grad,
    vmap=jax.vmap,
    jvp=jax.jvp,
    custom_jvp=jax.custom_jvp,
    custom_vjp=jax.custom_vjp,
    custom_root=jax.lax.custom_root,
    custom_linear_solve=jax.lax.custom_linear_solve,
)
MIXES = {
    "forward-forward": lambda lx, f, k: lx.jacfwd(lx.jacfwd(f, k), k),
    "forward-reverse": lambda lx, f, k: lx.jacfwd(lx.jacrev(f, k), k),
    "reverse-forward": lambda lx, f, k: lx.jacrev(lx.jacfwd(f, k), k),
    "reverse-reverse": lambda lx, f, k: lx.jacrev(lx.jacrev(f, k), k),
}


def agree(
    fun: Callable,
    args: Sequence[Any],
    argnums: tuple[int, ...] | None = None,
    axes: Sequence[int | None] | None = None,
    reference: Callable | None = None,
    second: bool = True,
    rtol: float = 1e-10,
) -> None:
    """`fun(GL, *args)` is what `reference(LAX, *args)` (`fun` itself unless given) is, under every transformation.

    **Arguments:** `argnums`: in which it is differentiated. `axes`: which arguments the batches are of. `second`: also
    the second derivatives, in four ways.
    """
    argnums = tuple(range(len(args))) if argnums is None else argnums
    axes = tuple(None if k not in argnums else 0 for k in range(len(args))) if axes is None else tuple(axes)
    args = [jax.tree.map(np.asarray, a) for a in args]
    ours, theirs = (lambda *xs: fun(GL, *xs)), (lambda *xs: (reference or fun)(LAX, *xs))

    def results(library: Any, f: Callable, xs: Sequence[Any], rows: Sequence[Any]) -> dict[str, Any]:
        total = _total(jnp if library is jax else gnp, f)
        found = {
            "value": f(*xs),
            "jvp": library.jvp(lambda *moving: f(*_with(xs, argnums, moving)), *_tangents(xs, argnums))[1],
            "grad": library.grad(total, argnums)(*xs),
            "vmap": library.vmap(f, in_axes=axes)(*rows),
            "vmap of grad": library.vmap(library.grad(total, argnums), in_axes=axes)(*rows),
        }
        if second:
            mixes = MIXES if library is gl else {"forward-reverse": MIXES["forward-reverse"]}
            found |= {name: mix(library, total, argnums)(*xs) for name, mix in mixes.items()}
        return found

    rows = [a if k is None else jax.tree.map(_rows, a) for a, k in zip(args, axes, strict=True)]
    both = jax.jit(lambda xs, rows: (results(gl, ours, xs, rows), results(jax, theirs, xs, rows)))
    got, want = both.lower(args, rows).compile(QUICK)(args, rows)
    for name in got:
        same(got[name], want["forward-reverse" if name in MIXES else name], name, rtol)
    of = _total(gnp, ours)
    check(gl.stage(gl.grad(of, argnums))(*args))
    check(gl.stage(gl.vmap(gl.grad(of, argnums), in_axes=axes))(*rows))
    if second:
        check(gl.stage(gl.jacrev(gl.grad(of, argnums), argnums))(*args))


def same(got: Any, want: Any, name: str = "", rtol: float = 1e-10) -> None:
    """Two pytrees are equal in structure, dtypes and, to a relative error of the largest entry, values."""
    assert jax.tree.structure(got) == jax.tree.structure(want), name
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{name}: {a.dtype}{a.shape}, wanted {b.dtype}{b.shape}"
        if a.dtype.kind in "fc":
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol * np.abs(b).max(initial=0), err_msg=name)
        else:
            np.testing.assert_array_equal(a, b, err_msg=name)


def _total(np_: Any, f: Callable) -> Callable:
    """One number of all the results."""

    def total(*xs):
        leaves = [y for y in jax.tree.leaves(f(*xs)) if np_.asarray(y).dtype.kind == "f"]
        return sum(np_.sum(np_.sin(y) * (k + 1.3)) for k, y in enumerate(leaves))

    return total


def _rows(x: np.ndarray) -> np.ndarray:
    return np.stack([x, x * 1.5 + 0.1, x - 0.3]).astype(x.dtype) if x.dtype.kind == "f" else np.stack([x, x, x])


def _with(xs: Sequence[Any], argnums: Sequence[int], moving: Sequence[Any]) -> list[Any]:
    now = list(xs)
    for k, x in zip(argnums, moving, strict=True):
        now[k] = x
    return now


def _tangents(xs: Sequence[Any], argnums: Sequence[int]) -> tuple[tuple, tuple]:
    primals = tuple(xs[k] for k in argnums)
    return primals, jax.tree.map(lambda x: jnp.cos(3.0 * x).astype(x.dtype), primals)
