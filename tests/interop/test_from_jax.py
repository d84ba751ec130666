"""Every primitive of JAX's that has a counterpart is read as equations, and what has none keeps JAX's derivative."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import primitives

import gradlab as gl
from gradlab.control.opaque import opaque_p
from gradlab.interop.jaxpr import NAMES
from gradlab.ir.check import check
from gradlab.ir.graph import Graph

from .lax_cases import CALLS, ELEMENTWISE, OPAQUE, TABLES, Case

# What the IR has no word for, or JAX's programs have only in places that gradlab does not read.
NO_COUNTERPART = {
    "collectives": "all_gather all_to_all axis_index pmax pmin ppermute psum ragged_all_to_all sharding_constraint",
    "references": "get swap empty2",
    "tokens": "after_all create_token",
    "orders of sorting": "eq_to le_to lt_to approx_top_k",
    "bits": "bitcast_convert_type reduce_precision rng_bit_generator rng_uniform threefry2x32",
    "any function's": "reduce reduce_window select_and_scatter select_and_scatter_add select_and_gather_add",
    "linear algebra": "hessenberg householder_product linear_solve schur tridiagonal tridiagonal_solve polynomial",
    "calls": "call closed_call custom_lin",
}


def is_moving(x: Any) -> bool:
    return np.issubdtype(np.asarray(x).dtype, np.inexact)


def loss_of(cases: dict[str, Case], read: Any) -> Any:
    """One number, and all results, of all the cases."""

    def loss(moving, still):
        total, results = 0.0, {}
        for name, c in cases.items():
            args = [moving[name][k] if k in moving[name] else still[name][k] for k in range(len(c.args))]
            if not c.grad:
                args = [gl.stop_gradient(x) if read is not None else jax.lax.stop_gradient(x) for x in args]
            ys = jax.tree.leaves((c.fn if read is None else read(c.fn))(*args))
            results[name] = ys
            for y in ys:
                if c.grad and np.issubdtype(y.dtype, np.inexact):
                    weights = np.cos(np.arange(y.size)).reshape(y.shape).astype(y.dtype)
                    total = total + ((y * weights).real.sum()).astype(np.float64)
        return total, results

    return loss


def arguments(cases: dict[str, Case]) -> tuple[dict, dict]:
    moving = {n: {k: jnp.asarray(x) for k, x in enumerate(c.args) if is_moving(x)} for n, c in cases.items()}
    still = {n: {k: jnp.asarray(x) for k, x in enumerate(c.args) if not is_moving(x)} for n, c in cases.items()}
    return moving, still


def close(got: Any, want: Any, name: str, rtol: float = 1e-9) -> None:
    assert len(got) == len(want), name
    for g, w in zip(got, want, strict=True):
        assert (g.shape, g.dtype) == (w.shape, w.dtype), f"{name}: {g.dtype}{g.shape} for {w.dtype}{w.shape}"
        loose = 1e-4 if w.dtype.name in ("float32", "complex64") else rtol
        np.testing.assert_allclose(np.asarray(g), np.asarray(w), rtol=loose, atol=loose / 100, err_msg=name)


@pytest.mark.parametrize("table", [*TABLES, "opaque"])
def test_values_and_gradients(table):
    cases = TABLES.get(table, OPAQUE)
    args = arguments(cases)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (_, values), grads = gl.jit(gl.value_and_grad(loss_of(cases, gl.from_jax), has_aux=True))(*args)
        (_, wanted), wanted_grads = jax.jit(jax.value_and_grad(loss_of(cases, None), has_aux=True))(*args)
    for name in cases:
        close(values[name], wanted[name], name)
        close(list(grads[name].values()), list(wanted_grads[name].values()), f"gradient of {name}")


def equations(graph: Graph) -> Iterator[Any]:
    for eqn in graph.eqns:
        yield eqn
        for _, inner in eqn.graphs:
            yield from equations(inner)


@pytest.mark.parametrize("table", TABLES)
def test_read_as_equations(table):
    """Nothing of what has a counterpart is opaque: but for bits taken as numbers, in the way JAX draws samples."""
    for name, c in TABLES[table].items():
        graph = check(gl.stage(gl.from_jax(c.fn))(*map(jnp.asarray, c.args)))
        found = {eqn.params["fun"].name for eqn in equations(graph) if eqn.prim is opaque_p}
        assert found <= {"bitcast_convert_type"}, name


@pytest.mark.parametrize("name", OPAQUE)
def test_the_rest_is_opaque(name):
    graph = check(gl.stage(gl.from_jax(OPAQUE[name].fn))(*map(jnp.asarray, OPAQUE[name].args)))
    assert any(eqn.prim is opaque_p for eqn in equations(graph))


def in_examples() -> set[Any]:
    seen = set()

    def visit(jaxpr: Any) -> None:
        for eqn in jaxpr.eqns:
            seen.add(eqn.primitive)
            for p in jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda p: hasattr(p, "eqns")):
                if hasattr(p, "eqns"):
                    visit(p)

    for table in (*TABLES.values(), OPAQUE):
        for c in table.values():
            visit(jax.make_jaxpr(lambda *args, fn=c.fn: fn(*args))(*c.args))
    return seen


def test_no_rule_is_untested():
    seen = in_examples()
    names = {primitive.name for primitive in seen}
    known = {name: getattr(primitives, f"{name}_p", None) for name in NAMES}
    # A name that this JAX does not publish is of another version, unless an example has it.
    untested = {n for n, p in known.items() if (p not in seen if p is not None else n not in names)}
    of_others = {"stack", "unstack", "tile", "split", "log2", "one_minus_square"}
    assert not untested - of_others


def test_no_primitive_is_forgotten():
    published = {name.removesuffix("_p") for name in dir(primitives) if name.endswith("_p")}
    without = {name for names in NO_COUNTERPART.values() for name in names.split()}
    assert not published - set(NAMES) - without


BATCHED = {**CALLS, **OPAQUE, **{name: ELEMENTWISE[name] for name in ("sin", "select_n.scalar")}}


def test_batched():
    names = [n for n in BATCHED if n not in ("switch", "schur", "approx_max_k")]
    args = {n: tuple(jnp.stack([jnp.asarray(a), 1.1 * jnp.asarray(a)]) for a in BATCHED[n].args) for n in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = gl.jit(gl.vmap(lambda a: {n: gl.from_jax(BATCHED[n].fn)(*a[n]) for n in names}))(args)
        want = jax.jit(jax.vmap(lambda a: {n: BATCHED[n].fn(*a[n]) for n in names}))(args)
    for name in names:
        close(jax.tree.leaves(got[name]), jax.tree.leaves(want[name]), name)


TWICE = ("custom_jvp_call", "custom_vjp_call", "remat", "call", "associative_scan")
TWICE += ("scan", "fori", "cond", "linear_solve", "reduce_precision")


def test_second_order():
    cases = {n: (CALLS | OPAQUE)[n] for n in TWICE}
    rng = np.random.default_rng(1)
    moving = {n: tuple(map(jnp.asarray, c.args)) for n, c in cases.items()}
    direction = jax.tree.map(lambda x: jnp.asarray(rng.standard_normal(x.shape)), moving)

    def total(read):
        return lambda xs: sum((read(c.fn)(*xs[n]) ** 2).sum() for n, c in cases.items())

    got = gl.jit(lambda x, v: gl.jvp(gl.grad(total(gl.from_jax)), (x,), (v,))[1])(moving, direction)
    want = jax.jit(lambda x, v: jax.jvp(jax.grad(total(lambda f: f)), (x,), (v,))[1])(moving, direction)
    for name in cases:
        close(list(got[name]), list(want[name]), name)


def test_lines():
    """An equation read through JAX has the user's line in the function, not that of the call."""

    def f(x):
        y = jnp.exp(x)
        return jnp.sin(y).sum()

    lines = {eqn.prim.name: eqn.where.text for eqn in gl.stage(f)(jnp.ones(3)).eqns if eqn.where is not None}
    assert lines["exp"] == "y = jnp.exp(x)"
    assert lines["sin"] == lines["reduce_sum"] == "return jnp.sin(y).sum()"


def test_policies_of_checkpoint_are_kept():
    policies = jax.checkpoint_policies

    def f(x):
        return jnp.sum(checkpoint_name(jnp.cos(checkpoint_name(jnp.sin(x @ x), "a")), "b"))

    wanted = {
        None: "nothing",
        policies.nothing_saveable: "nothing",
        policies.everything_saveable: "everything",
        policies.dots_saveable: "auto",
        policies.save_only_these_names("a"): ("a",),
        policies.save_any_names_but_these("a"): ("b",),
        policies.save_only_these_names("c"): "nothing",
    }
    for policy, want in wanted.items():
        graph = gl.stage(gl.from_jax(jax.checkpoint(f, policy=policy)))(np.eye(2))
        found = [eqn.params["policy"] for eqn in equations(graph) if "policy" in eqn.params]
        assert found == [want]
