"""The primitives of random numbers: keys and draws against JAX and under batching, gamma's derivative in full."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradlab.ir.check import check
from gradlab.ir.errors import DTypeError, MissingRuleError, ShapeError
from gradlab.ir.graph import Aval
from gradlab.ops import random as ops
from gradlab.trace.stage import trace_graph
from tests.support import Case, stage

IMPL = "threefry2x32"
KEY = ops.key_dtype(IMPL)
SEEDS, PARAMETERS = np.array([3, -7, 11]), np.array([[0.4, 2.5], [1.0, 9.0], [3.0, 0.7]])
BITS = np.asarray(jax.vmap(jax.random.PRNGKey)(SEEDS))


def keys(x):
    return ops.wrap(x, impl=IMPL)


def jax_keys(x):
    return jax.random.wrap_key_data(x, impl=IMPL)


def each(fn):
    """A reference: `fn` of a key and its other operands, for the bits of several keys."""
    return lambda bits, *xs: jax.vmap(lambda b, *x: fn(jax_keys(b), *x))(bits, *xs)


def case(fn, args, reference, **kwargs):
    options = {"active": (False,) * len(args), "widths": (), **kwargs}
    return Case(fn, args, reference, **options)


# The bits of keys stand for them in the harness, which speaks NumPy: keys are made at the start and taken apart at the
# end of a program, and are keys in between.
CASES = {
    "random_seed": case(
        lambda s: ops.unwrap(ops.seed(s, impl=IMPL)), (SEEDS,), jax.vmap(lambda s: jax.random.PRNGKey(s, impl=IMPL))
    ),
    "random_wrap": case(lambda b: ops.unwrap(keys(b)), (BITS,), lambda b: b, batch=[(0,), (1,)]),
    "random_unwrap": case(lambda b: ops.unwrap(keys(b)), (BITS[0],), lambda b: b, batch=[(0,)]),
    "random_split": case(
        lambda b: ops.unwrap(ops.split(keys(b), shape=(2, 3))),
        (BITS,),
        each(lambda k: jax.random.key_data(jax.random.split(k, (2, 3)))),
        batch=[(0,), (1,)],
    ),
    "random_fold_in": case(
        lambda b, n: ops.unwrap(ops.fold_in(keys(b), n)),
        (BITS, np.arange(3, dtype=np.uint32)),
        each(lambda k, n: jax.random.key_data(jax.random.fold_in(k, n))),
        batch=[(0, 0), (1, 1), (0, None), (None, 0)],
    ),
    "random_draw": case(
        lambda b: ops.draw("normal", keys(b), {}, shape=(2,), dtype=np.dtype("float32")),
        (BITS,),
        each(lambda k: jax.random.normal(k, (2,), jnp.float32)),
        batch=[(0,), (1,)],
    ),
    "random_draw.parameters": case(
        lambda b, low: ops.draw("randint", keys(b), {"minval": low, "maxval": low}, shape=(2,)),
        (BITS, np.array([0, 5, 9])),
        each(lambda k, low: jax.random.randint(k, (2,), low, low)),
        batch=[(0, 0), (0, None), (None, 0)],
    ),
    # With its noise held, an accepted sample is not a smooth function of the parameter: its derivative is the one at
    # fixed probability, which differences do not see. tests/test_random.py has JAX and the mean for it.
    "random_gamma": case(
        lambda b, a: ops.gamma(keys(b), a, log_space=False),
        (BITS, PARAMETERS),
        each(jax.random.gamma),
        batch=[(0, 0), (None, 1)],
    ),
    "random_gamma.log": case(
        lambda b, a: ops.gamma(keys(b), a, log_space=True),
        (BITS, PARAMETERS),
        each(jax.random.loggamma),
        batch=[(0, 0)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_what_jax_knows_of_keys():
    for impl in ("threefry2x32", "rbg", "unsafe_rbg"):
        dtype = ops.key_dtype(impl)
        assert dtype == jax.random.key(0, impl=impl).dtype
        assert ops.impl_of(dtype) == impl
        assert ops.bits_shape(dtype) == jax.random.PRNGKey(0, impl=impl).shape


def test_a_key_has_a_type():
    graph = check(trace_graph(lambda builder, k: [ops.split(k, shape=(2,))], [Aval((), KEY)]))
    assert str(graph.out_avals[0]) == "key<fry>[2]"
    assert graph.out_avals[0].dtype == KEY
    assert hash(graph) == hash(check(trace_graph(lambda builder, k: [ops.split(k, shape=(2,))], [Aval((), KEY)])))
    assert graph != trace_graph(lambda builder, k: [ops.split(k, shape=(2,))], [Aval((), ops.key_dtype("rbg"))])


def test_errors():
    with pytest.raises(DTypeError, match="split needs random keys"):
        stage(lambda x: ops.split(x, shape=(2,)), (BITS,))
    with pytest.raises(ShapeError, match="(..., 2)"):
        stage(lambda x: ops.wrap(x, impl=IMPL), (PARAMETERS,))
    with pytest.raises(ShapeError, match="one integer for each key"):
        stage(lambda x: ops.fold_in(ops.wrap(x, impl=IMPL), x), (BITS,))
    with pytest.raises(DTypeError, match="seed needs an integer"):
        stage(lambda x: ops.seed(x, impl=IMPL), (PARAMETERS,))
    with pytest.raises(DTypeError, match="gamma needs a dtype that is floating"):
        stage(lambda b, a: ops.gamma(keys(b), a, log_space=False), (BITS, SEEDS))
    with pytest.raises(ShapeError, match="axes in front"):
        stage(lambda b, a: ops.gamma(keys(b), a, log_space=False), (BITS, PARAMETERS[0]))
    with pytest.raises(MissingRuleError, match="not linear"):
        ops.random_gamma_p.transpose((None,), (False, True), None, None, log_space=False)
