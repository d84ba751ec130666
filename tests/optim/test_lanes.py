"""Many solves in one loop: one lane after the other in one kernel, or all at once; what they answer and may not do."""

from __future__ import annotations

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import gradlab.numpy as gnp
from gradlab.interop.identity import program_key
from gradlab.lower import small
from gradlab.optim import lanes, minimize

LANES, N, MEMORY = 8, 40, 5
RNG = np.random.default_rng(0)
SCALES, STARTS = jnp.linspace(1, 30, LANES), jnp.asarray(RNG.normal(size=(LANES, N)))
IN_A_KERNEL = lanes._LANES if jax.device_count() == 1 and small.options() is not None else 0


def one(scale, x0, **options):
    def f(x):
        return gnp.sum(gnp.cosh(x * jnp.linspace(1, 2, N)) * scale) + gnp.sum((x[1:] - x[:-1] ** 2) ** 2)

    result = minimize(f, x0, gtol=1e-4, options={"memory": MEMORY} | options)
    return result.x, result.n_evals, result.code


@pytest.mark.parametrize("most", [0, IN_A_KERNEL])
def test_lanes_in_one_loop_are_the_solves_alone_and_copy_no_history(most, monkeypatch):
    monkeypatch.setattr(lanes, "_LANES", most)
    together = jax.jit(jax.vmap(lambda *args: one(*args))).lower(SCALES, STARTS).compile()
    xs, evals, codes = together(SCALES, STARTS)
    assert np.all(codes == 1) and len(set(np.asarray(evals).tolist())) > 1
    alone = jax.jit(one)
    for k in range(LANES):
        x, n_evals, _ = alone(SCALES[k], STARTS[k])
        assert np.allclose(xs[k], x, atol=1e-5) and abs(int(evals[k]) - int(n_evals)) <= 2
    text = str(together.as_text()).split("\nENTRY")[0]
    assert ("xla_cpu_small_call" in text) == (most > 0)
    history = rf"= f64\[{LANES},{MEMORY + 1},{N}\]\S*"
    assert not re.search(rf"{history} copy\(", text)
    assert len(re.findall(rf"{history} fusion\(", text)) <= 2  # the new row of steps, and that of gradient changes
    if most:  # what f costs, and one kernel: no array of lanes is copied, no product given to a library
        assert not re.search(rf"\[{LANES}[],]\S* copy\(", text) and not re.search(r"\d\]\S* dot\(", text)


def valley(x0, t, gtol):
    result = minimize(lambda x, t: gnp.sum((1 - t * x) ** 2) + 9 * gnp.sum((x[1:] - x[:-1] ** 2) ** 2), x0, args=(t,),
                      gtol=gtol)  # fmt: skip
    return result.x, result.n_evals


def test_lanes_of_lanes_are_so_many_lanes_with_limits_of_their_own():
    starts, ts, gtols = jnp.asarray(RNG.normal(size=(4, 3))), jnp.linspace(1, 2, 4), jnp.asarray([1e-2, 1e-8])
    grid = jax.jit(jax.vmap(jax.vmap(valley, (0, 0, None)), (None, None, 0)))(starts, ts, gtols)
    assert np.all(grid[1][0] < grid[1][1])
    for gtol, *row in zip(gtols, *grid, strict=True):
        rows = [valley(x0, t, gtol) for x0, t in zip(starts, ts, strict=True)]
        for found, wanted in zip(row, zip(*rows, strict=True), strict=True):
            assert np.allclose(found, jnp.stack(wanted), atol=1e-7)


def test_two_readings_of_a_batch_are_the_same_program():
    def key():
        return program_key(jax.make_jaxpr(jax.vmap(lambda x0: valley(x0, 2.0, 1e-6)))(jnp.ones((4, 3))), [])

    assert key()[:3] == key()[:3]  # but for its constants, which are told apart by where they lie
