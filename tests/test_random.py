"""gradlab.random against jax.random: the same samples for the same keys, and the same derivatives in the parameters."""

from __future__ import annotations

import inspect
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special as special

import gradlab as gl
from gradlab.ir.errors import ArgumentError, DTypeError, MissingRuleError, ShapeError, StructureError
from tests.support import QUICK

TYPED, RAW = jax.random.key(3), jax.random.PRNGKey(3)
A, B = np.array([0.3, 2.0, 7.5]), np.array([1.5, 0.4, 3.0])
MEAN, COV = np.array([1.0, -2.0]), np.array([[2.0, 0.3], [0.3, 0.5]])
MANY = np.arange(12.0).reshape(4, 3)
P = np.array([0.1, 0.5, 0.2, 0.2])

# Each is a function of (the module, a key, arrays); the arrays are traced.
KEYS = {
    "split": (lambda r, k: r.key_data(r.split(k)) if hasattr(k, "impl") else r.split(k, (2, 3))[1],),
    "fold_in": (lambda r, k, n: r.uniform(r.fold_in(r.fold_in(k, 7), n)), np.int32(-5)),
    "clone": (lambda r, k: r.uniform(r.clone(k)),),
    "key": (lambda r, k, n: r.uniform(r.split(r.key(n))[1]), np.int64(2**40 + 1)),
    "key.literal": (lambda r, k: r.key_data(r.key(2**40 + 1)),),
    "key.rbg": (lambda r, k, n: r.bits(r.key(n, impl="rbg"), (3,)), np.int32(4)),
    "PRNGKey": (lambda r, k, n: r.PRNGKey(n), np.int32(11)),
    "wrap_key_data": (
        lambda r, k, b: r.normal(r.wrap_key_data(b)[1], (2,)),
        np.arange(4, dtype=np.uint32).reshape(2, 2),
    ),
    "key_data": (lambda r, k: r.key_data(k),),
}
DRAWS = {
    "bits": (lambda r, k: (r.bits(k, (3,)), r.bits(k, (2, 2), jnp.uint8)),),
    "uniform": (lambda r, k: (r.uniform(k, (3,)), r.uniform(k, (3,), jnp.float16), r.uniform(k, minval=0, maxval=1)),),
    "normal": (lambda r, k: (r.normal(k, (5,)), r.normal(k, (2,), jnp.float32), r.normal(k, (2,), jnp.complex128)),),
    "cauchy": (lambda r, k: r.cauchy(k, (3,)),),
    "exponential": (lambda r, k: r.exponential(k, (3,), jnp.float32),),
    "gumbel": (lambda r, k: (r.gumbel(k, (3,)), r.gumbel(k, (3,), mode="high")),),
    "laplace": (lambda r, k: r.laplace(k, (3,)),),
    "logistic": (lambda r, k: r.logistic(k, (3,)),),
    "maxwell": (lambda r, k: r.maxwell(k, (3,)),),
    "orthogonal": (lambda r, k: (r.orthogonal(k, 3), r.orthogonal(k, 2, (2,), jnp.float32, m=3)),),
    "rademacher": (lambda r, k: (r.rademacher(k, (3,)), r.rademacher(k, (3,), jnp.float32)),),
    "bernoulli": (lambda r, k, p: (r.bernoulli(k, p), r.bernoulli(k, p, (2, 3), "high"), r.bernoulli(k)), A / 8),
    "binomial": (lambda r, k, p: r.binomial(k, 9.0, p), A / 8),
    "multinomial": (lambda r, k, p: r.multinomial(k, 20, p), P[:3] / P[:3].sum()),
    "categorical": (
        lambda r, k, x: (
            r.categorical(k, x), r.categorical(k, x, 0, (2, 3)), r.categorical(k, x, shape=(2, 4), replace=False),
        ),
        MANY / 10,
    ),
    "geometric": (lambda r, k, p: (r.geometric(k, p), r.geometric(k, 0.1, (4,), jnp.int32)), A / 8),
    "poisson": (lambda r, k, x: r.poisson(k, x, (2, 3), jnp.int32), A),
    "randint": (lambda r, k, n: (r.randint(k, (4,), 0, n), r.randint(k, (2,), -5, 100, jnp.uint8)), np.int32(9)),
    "permutation": (
        lambda r, k, x: (r.permutation(k, 7), r.permutation(k, x), r.permutation(k, x[0]),
                         r.permutation(k, x, 1), r.permutation(k, x, 1, independent=True)),
        MANY,
    ),
    "choice": (
        lambda r, k, x, p: (
            r.choice(k, 5, (3,)), r.choice(k, x, (2, 2)), r.choice(k, x, (3,), replace=False, axis=0),
            r.choice(k, x, (2,), p=p, axis=0), r.choice(k, 4, (3,), replace=False, p=p), r.choice(k, x[0]),
            r.choice(k, x, (2,), axis=1),
        ),
        MANY, P,
    ),
}  # fmt: skip
SAMPLES = {
    "uniform": (lambda r, k, a, b: r.uniform(k, (2, 3), minval=a, maxval=b), -A, B),
    "uniform.numbers": (lambda r, k: r.uniform(k, (3,), jnp.float32, -2, 3.5),),
    "truncated_normal": (lambda r, k, a, b: r.truncated_normal(k, a, b, (2, 3)), -A, B),
    "truncated_normal.numbers": (lambda r, k: r.truncated_normal(k, -1.0, 2.0, (3,), jnp.float32),),
    "triangular": (lambda r, k, a, b, c: r.triangular(k, a, b, c, (2, 3)), -A, B, B + 2),
    "gamma": (lambda r, k, a: r.gamma(k, a, (2, 3)), A),
    "gamma.numbers": (lambda r, k: r.gamma(k, 3, (2,), jnp.float32),),
    "loggamma": (lambda r, k, a: r.loggamma(k, a), A),
    "beta": (lambda r, k, a, b: r.beta(k, a, b), A, B),
    "dirichlet": (lambda r, k, a: r.dirichlet(k, a, (2,)), A),
    "chisquare": (lambda r, k, a: r.chisquare(k, a), A),
    "f": (lambda r, k, a, b: r.f(k, a, b), A, B),
    "t": (lambda r, k, a: r.t(k, a, (2, 3)), A),
    "generalized_normal": (lambda r, k, p: r.generalized_normal(k, p, (3,)), np.float64(1.7)),
    "ball": (lambda r, k, p: r.ball(k, 3, p, (2,)), np.float64(1.7)),
    "pareto": (lambda r, k, a: r.pareto(k, a), A),
    "weibull_min": (lambda r, k, a, b: r.weibull_min(k, a, b, (3,)), A, B),
    "rayleigh": (lambda r, k, a: r.rayleigh(k, a, (2, 3)), A),
    "lognormal": (lambda r, k, a: r.lognormal(k, a), A),
    "wald": (lambda r, k, a: r.wald(k, a), A),
    "double_sided_maxwell": (lambda r, k, a, b: r.double_sided_maxwell(k, a, b, (2,)), A, B),
    "multivariate_normal": (lambda r, k, m, c: r.multivariate_normal(k, m, c, (3,)), MEAN, COV),
    "multivariate_normal.eigh": (lambda r, k, m, c: r.multivariate_normal(k, m, c, method="eigh"), MEAN, COV),
    "multivariate_normal.svd": (lambda r, k, m, c: r.multivariate_normal(k, m, c, method="svd"), MEAN, COV),
}


def arrays(table):
    return [args for _, *args in table.values()]


def of(table, module, key, given):
    return {name: fn(module, key, *xs) for (name, (fn, *_)), xs in zip(table.items(), given, strict=True)}


def plain(x):
    return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)


def assert_same(got, want, name=""):
    """Same types, same bits."""
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype), name
        np.testing.assert_array_equal(plain(x), plain(y), err_msg=name)


def some(table, *names):
    return {name: table[name] for name in names}


SAMES = {
    "keys.typed": (KEYS, TYPED),
    "keys.raw": (KEYS, RAW),
    "draws.typed": (DRAWS, TYPED),
    "draws.raw": (some(DRAWS, "bits", "normal", "randint"), RAW),
    # Those with parameters are compared beside their gradients: XLA takes a second for each that is made of gammas.
    "samples.typed": ({name: row for name, row in SAMPLES.items() if len(row) == 1} | some(SAMPLES, "f"), TYPED),
    "samples.raw": (some(SAMPLES, "uniform", "truncated_normal"), RAW),
}


@pytest.mark.parametrize("name", SAMES)
def test_samples_are_those_of_jax(name):
    table, key = SAMES[name]
    got = gl.jit(lambda k, given: of(table, gl.random, k, given), compiler_options=QUICK)(key, arrays(table))
    want = jax.jit(lambda k, given: of(table, jax.random, k, given), compiler_options=QUICK)(key, arrays(table))
    for case in table:
        assert_same(got[case], want[case], case)


def test_outside_a_trace_it_is_jax():
    for name in set(vars(gl.random)) & set(vars(jax.random)):
        if callable(fn := getattr(jax.random, name)):
            assert inspect.signature(getattr(gl.random, name)) == inspect.signature(fn)
    assert gl.random.key(0) == jax.random.key(0)
    assert gl.random.key_impl(RAW) == "threefry2x32"
    assert_same(jax.jit(gl.random.poisson)(TYPED, 3.0), jax.random.poisson(TYPED, 3.0))
    missing = (
        {name for name in dir(jax.random) if name[0].islower()} - set(vars(gl.random)) - {"key_dtype", "random_gamma_p"}
    )
    assert not missing


# -- derivatives


def loss_of(table, module, np_, key):
    """A number that every sample moves, and the samples."""

    def loss(given):
        ys = of(table, module, key, given)
        every = [np_.sum(np_.cos(np_.arange(1.0, y.size + 1)) * np_.ravel(y)) for y in jax.tree.leaves(ys)]
        return sum(every), ys

    return loss


TWICE = some(
    SAMPLES, "uniform", "truncated_normal", "pareto", "weibull_min", "rayleigh", "lognormal", "wald",
    "double_sided_maxwell", "multivariate_normal", "triangular",
)  # fmt: skip


LEFT_OUT = ("generalized_normal", "chisquare", "loggamma", "f")  # the others are made of the same
MOVING = {name: row for name, row in SAMPLES.items() if len(row) > 1 and name not in LEFT_OUT}


def test_samples_and_gradients_are_those_of_jax():
    given = arrays(MOVING)

    def run(module, np_, lib):
        def both(key, xs):
            return lib.value_and_grad(loss_of(MOVING, module, np_, key), has_aux=True)(xs)

        return lib.jit(both, compiler_options=QUICK)(TYPED, given)

    ((_, ys), got), ((_, wanted), want) = run(gl.random, gl.numpy, gl), run(jax.random, jnp, jax)
    for case in MOVING:
        # Beside a gradient XLA fuses the steps otherwise, which may round the last bit otherwise.
        for x, y in zip(jax.tree.leaves(ys[case]), jax.tree.leaves(wanted[case]), strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-14, err_msg=case)
    for case, xs, like in zip(MOVING, got, want, strict=True):
        for x, y in zip(xs, like, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-11, err_msg=case)


def test_second_derivatives_are_those_of_jax():
    given = arrays(TWICE)

    def run(module, np_, lib):
        def product(key, xs):
            gradient = lib.grad(lambda given: loss_of(TWICE, module, np_, key)(given)[0])
            return lib.jvp(gradient, (xs,), (xs,))[1]

        return lib.jit(product, compiler_options=QUICK)(TYPED, given)

    got, want = run(gl.random, gl.numpy, gl), run(jax.random, jnp, jax)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-8, atol=1e-10), got, want)


def test_a_mean_moves_as_its_derivatives_say():
    """The mean of the logarithm of Gamma(a) is digamma(a)."""
    many = jax.random.split(TYPED, 4000)
    slopes = gl.vmap(gl.grad(gl.random.loggamma, 1), (0, None))(many, 1.7)
    slope = float(jax.scipy.special.polygamma(1, 1.7))
    assert abs(slopes.mean() - slope) < 5 * slopes.std() / len(many) ** 0.5


def test_reads_are_linear_in_what_is_read():
    def loss(r):
        return lambda x: (
            (r.permutation(TYPED, x, independent=True)[0] ** 3 + r.choice(TYPED, x, (3,), p=jnp.ones(4) / 4)[1]).sum()
            + (r.permutation(TYPED, x, 1) ** 2)[0, 0]
        )

    got, want = gl.grad(loss(gl.random))(MANY), jax.jit(jax.grad(loss(jax.random)), compiler_options=QUICK)(MANY)
    np.testing.assert_allclose(got, want)


def test_a_mode_on_a_bound_leaves_a_finite_derivative():
    """In JAX the root of the branch that is not taken gives NaN."""
    slopes = gl.grad(lambda a: gl.random.triangular(TYPED, a, a, a + 1.0, (4,)).sum())(0.5)
    np.testing.assert_allclose(slopes, 4.0)


def test_draws_have_no_derivative():
    assert gl.grad(lambda p: gl.random.geometric(TYPED, p) * p)(0.3) == jax.random.geometric(TYPED, 0.3)
    assert gl.grad(lambda x: x, unconnected="none")(1.0) == 1.0
    assert gl.grad(lambda x: gl.random.poisson(TYPED, x) * 1.0, unconnected="none")(3.0) is None


def test_the_second_derivative_of_gamma_in_its_parameter_is_refused():
    with pytest.raises(MissingRuleError, match="no derivative in its parameter a.*stop_gradient"):
        gl.grad(gl.grad(lambda a: gl.random.gamma(TYPED, a)))(2.0)


def test_mixed_derivatives_of_gamma_are_those_of_its_quantile():
    """A sample moves with its parameter at fixed probability; its slope moves with what the sample goes into."""

    def bend(sample):
        return lambda s, a: s * np.sin(s * sample(a))

    sample, a, s, h = jax.random.gamma(TYPED, 2.0), 2.0, 3.0, 1e-4
    level = special.gammainc(a, sample)

    def quantile(a):
        return special.gammaincinv(a, level)

    ahead, behind = (
        np.array([(bend(quantile)(s + i, a + h) - bend(quantile)(s + i, a - h)) / (2 * h)]) for i in (h, -h)
    )
    slope, mixed = gl.jit(gl.value_and_grad(gl.grad(bend(partial(gl.random.gamma, TYPED)), 1)))(s, a)
    np.testing.assert_allclose(slope, (ahead + behind)[0] / 2, rtol=1e-6)
    np.testing.assert_allclose(mixed, (ahead - behind)[0] / (2 * h), rtol=1e-5)


# -- keys under every transformation


def model(r, key, a):
    k1, k2 = r.split(key)
    k3 = r.fold_in(k2, 2)
    return a * r.normal(k1) + r.uniform(k3, minval=a)


@pytest.mark.parametrize("key", [TYPED, RAW], ids=["typed", "raw"])
def test_keys_under_the_transformations(key):
    many = jax.random.split(key, 4)
    ours, theirs = (lambda k, a: model(gl.random, k, a)), (lambda k, a: model(jax.random, k, a))
    points = np.linspace(0.5, 3, 4)
    slope = jax.grad(theirs, 1)(key, 2.0)
    close = np.testing.assert_allclose
    close(gl.grad(ours, 1)(key, 2.0), slope)  # an argument that is not differentiated
    every = jax.vmap(jax.grad(theirs, 1))(many, points)
    close(gl.vmap(gl.grad(ours, 1))(many, points), every)
    if key is RAW:
        return
    close(gl.grad(lambda a: ours(key, a))(2.0), slope)  # closed over
    close(gl.jit(gl.grad(ours, 1))(key, 2.0), slope)
    close(jax.jit(gl.grad(ours, 1))(key, 2.0), slope)
    close(gl.jit(gl.vmap(gl.grad(ours, 1), (0, None)))(many, 2.0), jax.vmap(jax.grad(theirs, 1), (0, None))(many, 2.0))
    close(gl.vmap(gl.grad(ours, 1), (None, 0))(key, points), jax.vmap(jax.grad(theirs, 1), (None, 0))(key, points))
    close(jax.vmap(gl.grad(ours, 1))(many, points), every)
    inside = gl.grad(lambda a: gl.vmap(lambda k: ours(k, a))(gl.random.split(key, 4)).sum())(2.0)
    close(inside, jax.grad(lambda a: jax.vmap(lambda k: theirs(k, a))(many).sum())(2.0))
    assert gl.jvp(ours, (key, 2.0), (np.zeros(key.shape, jax.dtypes.float0), 1.0))[1] == pytest.approx(slope)


def test_maps_over_keys_draw_what_jax_draws():
    many = jax.random.split(TYPED, (2, 3))

    def twice(lib, r):
        return lib.vmap(lib.vmap(lambda k: (r.normal(k, (2,)), r.split(k), r.randint(k, (2,), 0, 9))))

    def seeds(lib, r):
        return lib.vmap(lambda s: (r.fold_in(r.key(s), s + 1), r.PRNGKey(s), r.bernoulli(r.key(s), A / 8)))

    assert_same(gl.jit(twice(gl, gl.random))(many), jax.jit(twice(jax, jax.random))(many))
    assert_same(gl.jit(seeds(gl, gl.random))(np.arange(3)), jax.jit(seeds(jax, jax.random))(np.arange(3)))


def test_keys_are_moved_as_arrays_are():
    keys = jax.random.split(TYPED, 6)

    def moves(np_):
        def run(k, i):
            table = np_.reshape(k, (2, 3))
            mask = np_.arange(6) > i
            return (
                k[i], k[np_.stack([i, i + 1])], k[::-2], table.T, np_.concatenate([k, k[:1]]), np_.stack([k, k]),
                np_.where(mask, k, k[::-1]), np_.broadcast_to(k[0], (3,)), table[:, None], np_.squeeze(table[:1]),
                k.at[i].set(k[0]), np_.flip(k),
            )  # fmt: skip

        return run

    assert_same(gl.jit(moves(gl.numpy))(keys, 2), jax.jit(moves(jnp))(keys, 2))
    found = []
    gl.jit(lambda k: found.append((k.dtype == TYPED.dtype, jnp.issubdtype(k.dtype, jax.dtypes.prng_key))))(keys)
    assert found == [(True, True)]


def test_the_source_runs_alone():
    text = gl.source(gl.grad(lambda a, k: gl.random.pareto(gl.random.split(k)[0], a)))(jnp.asarray(2.0), TYPED)
    scope: dict = {}
    exec(text, scope)
    (name,) = re.findall(r"^def (\w+)", text, re.M)
    want = jax.grad(lambda a, k: jax.random.pareto(jax.random.split(k)[0], a))(2.0, TYPED)
    np.testing.assert_allclose(scope[name](jnp.asarray(2.0), TYPED)[0], want)


# -- errors

r = gl.random
ERRORS = {
    "float seed": (lambda x: r.key(x), DTypeError, r"integer seed, got .*int\(seed\)"),
    "key as seed": (lambda x: r.key(TYPED), DTypeError, "It is a key already"),
    "seeds": (lambda x: r.key(np.arange(3)), ShapeError, "one seed.*vmap"),
    "huge seed": (lambda x: r.key(2**70), ArgumentError, "64 bits"),
    "a number": (lambda x: r.normal(0), DTypeError, r"random key, got 0.*gradlab.random.key\(0\)"),
    "a shape": (lambda x: r.normal((3,)), DTypeError, r"random key, got \(3,\)"),
    "no key": (lambda x: r.normal(shape=(3,)) * x, StructureError, "needs a random key first"),
    "a float array": (lambda x: r.normal(np.ones(2)), DTypeError, r"random key, got an array f64\[2\]"),
    "NumPy's": (lambda x: r.normal(np.random.default_rng(0)), DTypeError, "got a Generator.*hidden"),
    "bits": (lambda x: r.normal(np.zeros(3, np.uint32)), ShapeError, "threefry2x32 keys are uint32"),
    "several keys": (lambda x: r.normal(r.split(TYPED)), ShapeError, r"one key, got key<fry>\[2\].*vmap"),
    "shape": (lambda x: r.normal(TYPED, 3), ShapeError, r"shape=\(3,\)"),
    "negative shape": (lambda x: r.normal(TYPED, (-3,)), ShapeError, "negative"),
    "parameters": (lambda x: r.gamma(TYPED, np.ones(3), (2,)), ShapeError, "broadcast"),
    "small shape": (lambda x: r.beta(TYPED, np.ones(3), 1.0, ()), ShapeError, "parameters that broadcast to"),
    "integer dtype": (lambda x: r.normal(TYPED, (), int), DTypeError, "floating or complex dtype, got dtype=int"),
    "float dtype": (lambda x: r.randint(TYPED, (), 0, 2, float), DTypeError, "draws integers, got dtype=float"),
    "key dtype": (lambda x: r.normal(TYPED, (), TYPED.dtype), DTypeError, "dtype of numbers was needed, got key<fry>"),
    "probability": (lambda x: r.bernoulli(TYPED, 1), DTypeError, "floating probability"),
    "sharding": (lambda x: r.normal(TYPED, out_sharding=1), ArgumentError, "out_sharding=None only"),
    "traced length": (lambda x: r.permutation(TYPED, x), ShapeError, "Python int.*static_argnums"),
    "fold float": (lambda x: r.fold_in(TYPED, 0.5), DTypeError, "needs an integer"),
    "both": (lambda x: r.key(0, impl="rbg", dtype="rbg"), (ArgumentError, TypeError), "impl"),
    "sum": (lambda x: r.split(TYPED) + 1, DTypeError, r"given random keys.*key_data"),
    "reduction": (lambda x: gl.numpy.sum(r.split(TYPED)), DTypeError, "random keys"),
    "mixed": (lambda x: gl.numpy.stack([r.key(0), x]), DTypeError, "do not mix"),
    "sorted": (lambda x: gl.numpy.sort(r.split(TYPED)), DTypeError, "random keys|Draw numbers"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors_say_what_to_write(name):
    fn, kind, words = ERRORS[name]
    with pytest.raises(kind, match=words) as caught:
        gl.jit(fn)(1.5)
    if isinstance(caught.value, (DTypeError, ShapeError, ArgumentError, StructureError)):
        assert "test_random.py" in str(caught.value)


def test_a_key_is_not_differentiated():
    with pytest.raises(DTypeError, match=r"k is key<fry>.*Leave it out of argnums"):
        gl.grad(lambda k: gl.random.normal(k))(TYPED)
    zero = gl.grad(lambda k: gl.random.normal(k), allow_int=True)(TYPED)
    assert zero.dtype == jax.dtypes.float0
