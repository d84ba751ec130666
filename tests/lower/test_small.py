"""Small programs as one kernel: whatever `fits` compiles so, and computes what it computes elsewhere."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.lower import small
from gradlab.lower.compile import Executable
from tests.support import QUICK, Case, stage
from tests.test_registry import MODULES

needs_calls = pytest.mark.skipif(small.options() is None, reason="this XLA has no small calls, or this is no CPU")


def fitting(module):
    """name -> (case, graph) of the cases of a module whose graphs fit."""
    cases: dict[str, Case] = getattr(module, "CASES", {})
    staged = {name: (case, stage(case.fn, case.args)) for name, case in cases.items() if len(case.args)}
    return {name: pair for name, pair in staged.items() if small.fits(pair[1])}


def in_a_loop(f):
    """f in the second of two turns."""

    def run(args):
        first = jax.tree.map(jnp.zeros_like, jax.eval_shape(f, args))
        return lax.fori_loop(0, 2, lambda k, outs: lax.cond(k > 0, f, lambda args: outs, args), first)

    return run


@needs_calls
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.split("_")[-1])
def test_what_fits_compiles_into_one_kernel(module):
    chosen = fitting(module)
    programs = {name: Executable(graph).fn for name, (_, graph) in chosen.items()}

    def every(args):
        return {name: fn(*args[name]) for name, fn in programs.items()}

    if not programs:
        return
    args = {name: [np.asarray(x) for x in case.args] for name, (case, _) in chosen.items()}
    run = in_a_loop(every)
    compiled = jax.jit(small.in_one_kernel(run), compiler_options=small.options() | QUICK).lower(args).compile()
    assert "xla_cpu_small_call" in compiled.as_text()
    (got, _), want = compiled(args), jax.jit(run, compiler_options=QUICK)(args)
    for name in programs:
        for a, b in zip(got[name], want[name], strict=True):
            loose = 1e-2 if a.dtype.itemsize < 4 else 1e-5 if a.dtype in ("f4", "c8") else 1e-11
            np.testing.assert_allclose(
                np.asarray(a, complex), np.asarray(b, complex), rtol=loose, atol=loose, err_msg=name
            )


def test_the_list_of_arithmetic_is_covered_by_cases():
    tested = {name.split(".")[0] for module in MODULES for name in fitting(module)}
    assert small.ARITHMETIC - tested == set()


@needs_calls
def test_an_argument_that_is_not_read_is_none_to_trip_over():
    def f(x, unread):
        return lax.dynamic_update_slice(unread, jnp.sin(x), (0,))

    x = np.arange(3.0)
    got, _ = jax.jit(small.in_one_kernel(f), compiler_options=small.options())(x, x)
    np.testing.assert_array_equal(got, np.sin(x))
