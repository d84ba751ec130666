"""Models, losses and densities written on top of jax.numpy differentiate as they stand, and equally to rounding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special as jss
import jax.scipy.stats as stats
import numpy as np
import pytest
from jax import lax

import gradlab as gl

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((8, 6)))
Y = jnp.asarray(RNG.integers(0, 3, 8))
POSITIVE = jnp.asarray(RNG.uniform(0.2, 0.9, 5))


def same(got: Any, want: Any, rtol: float = 1e-10) -> None:
    # A gradient that is zero but for rounding is compared beside the others.
    scale = max(float(np.max(np.abs(w), initial=0.0)) for w in jax.tree.leaves(want))

    def close(path, g, w):
        np.testing.assert_allclose(
            np.asarray(g), np.asarray(w), rtol=rtol, atol=rtol * scale, err_msg=jax.tree_util.keystr(path)
        )

    jax.tree_util.tree_map_with_path(close, got, want)


# -- models


def linen_model() -> tuple[Callable, Any]:
    nn = pytest.importorskip("flax.linen")

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.gelu(nn.LayerNorm(param_dtype=x.dtype)(nn.Dense(7, param_dtype=x.dtype)(x)))
            x = nn.Conv(4, (3,), param_dtype=x.dtype)(x[..., None])
            x = nn.relu(nn.max_pool(x, (2,)).reshape(len(x), -1))
            x = nn.Dropout(0.3, deterministic=False)(x)
            return nn.Dense(3, param_dtype=x.dtype)(x)

    net, key = Net(), {"dropout": jax.random.key(4)}
    params = net.init({"params": jax.random.key(0), **key}, X)
    return lambda params, x: net.apply(params, x, rngs=key), params


def recurrent_model() -> tuple[Callable, Any]:
    nn = pytest.importorskip("flax.linen")
    net = nn.RNN(nn.GRUCell(3, param_dtype=X.dtype))
    params = net.init(jax.random.key(0), X[None])
    return lambda params, x: net.apply(params, x[None])[0], params


def nnx_model() -> tuple[Callable, Any]:
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(6, 5, rngs=rngs, param_dtype=X.dtype)
            self.attend = nnx.MultiHeadAttention(1, 5, rngs=rngs, decode=False, param_dtype=X.dtype)
            self.last = nnx.Linear(5, 3, rngs=rngs, param_dtype=X.dtype)

        def __call__(self, x):
            return self.last(self.attend(jax.nn.silu(self.first(x))))

    graph, state = nnx.split(Net(nnx.Rngs(0)))
    return lambda state, x: nnx.merge(graph, state)(x), state


def equinox_model() -> tuple[Callable, Any]:
    eqx = pytest.importorskip("equinox")
    keys = jax.random.split(jax.random.key(0), 2)
    net = eqx.nn.Sequential([
        eqx.nn.MLP(6, 5, 7, 2, jax.nn.softplus, key=keys[0]), eqx.nn.LayerNorm(5), eqx.nn.Linear(5, 3, key=keys[1]),
    ])  # fmt: skip
    params, static = eqx.partition(net, eqx.is_inexact_array)
    return lambda params, x: jax.vmap(eqx.combine(params, static))(x), params


MODELS = {"linen": linen_model, "recurrent": recurrent_model, "nnx": nnx_model, "equinox": equinox_model}


@pytest.mark.parametrize("name", MODELS)
def test_model(name):
    model, params = MODELS[name]()

    def loss(params, x, y):
        logits = model(params, x)
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], 1).mean()

    rtol = 1e-6 if name == "nnx" else 1e-9  # its attention computes in single precision
    want = jax.jit(jax.value_and_grad(loss))(params, X, Y)
    same(gl.jit(gl.value_and_grad(loss))(params, X, Y), want, rtol)
    same(gl.grad(gl.from_jax(loss))(params, X, Y), want[1], rtol)
    direction, still = jax.tree.map(jnp.ones_like, params), (jnp.zeros_like(X), np.zeros(Y.shape, jax.dtypes.float0))
    same(
        gl.jit(lambda p, v: gl.jvp(gl.grad(loss), (p, X, Y), (v, *still)))(params, direction)[1],
        jax.jit(lambda p, v: jax.jvp(jax.grad(lambda p: loss(p, X, Y)), (p,), (v,)))(params, direction)[1],
        10 * rtol,
    )  # fmt: skip


def test_who_asks_for_an_array_is_given_one():
    """A library that tells arrays from the rest by isinstance does not take the rest's branch."""
    eqx = pytest.importorskip("equinox")

    def loss(tree):
        x = tree["x"]
        assert isinstance(x, jax.Array) and eqx.is_inexact_array(x) and not isinstance(x, np.ndarray | float)
        arrays, rest = eqx.partition(tree, eqx.is_array)
        assert rest == {"x": None, "name": "a net"}
        return (x**2).sum() + (arrays["x"] ** 3).sum()

    def loss_of_jax(tree):
        return jnp.sum(eqx.filter(tree, eqx.is_array)["x"] ** 3)

    x = jnp.arange(3.0)
    same(gl.grad(lambda x: loss({"x": x, "name": "a net"}))(x), 2 * x + 3 * x**2)
    same(gl.grad(lambda x: loss_of_jax({"x": x, "name": "a net"}))(x), 3 * x**2)


# -- losses and optimizers


def test_optax_losses():
    optax = pytest.importorskip("optax")
    labels = jax.nn.one_hot(Y, 6, dtype=X.dtype)
    losses = {
        "squared": lambda x: optax.squared_error(x, labels).mean(),
        "huber": lambda x: optax.huber_loss(x, labels, delta=0.5).mean(),
        "log_cosh": lambda x: optax.log_cosh(x, labels).mean(),
        "softmax": lambda x: optax.softmax_cross_entropy(x, labels).mean(),
        "integer": lambda x: optax.softmax_cross_entropy_with_integer_labels(x, Y).mean(),
        "sigmoid": lambda x: optax.sigmoid_binary_cross_entropy(x, labels).mean(),
        "cosine": lambda x: optax.cosine_distance(x, labels).mean(),
        "hinge": lambda x: optax.hinge_loss(x, 2 * labels - 1).mean(),
        "kl": lambda x: optax.kl_divergence(jax.nn.log_softmax(x), jax.nn.softmax(labels)).mean(),
        "ctc": lambda x: optax.ctc_loss(x[None], jnp.zeros((1, 8)), Y[None, :3], jnp.zeros((1, 3))).mean(),
    }
    same(
        gl.jit(lambda x: {n: gl.grad(f)(x) for n, f in losses.items()})(X),
        jax.jit(lambda x: {n: jax.grad(f)(x) for n, f in losses.items()})(X),
    )


def test_optax_train_step():
    optax = pytest.importorskip("optax")
    model, params = equinox_model()
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.adamw(1e-2))

    def make(module):
        def step(params, state, x, y):
            def loss(p):
                return optax.softmax_cross_entropy_with_integer_labels(model(p, x), y).mean()

            value, grads = module.value_and_grad(loss)(params)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state, value

        return module.jit(step)

    ours = theirs = (params, optimizer.init(params))
    step, step_of_jax = make(gl), make(jax)
    for _ in range(3):
        *ours, value = step(*ours, X, Y)
        *theirs, value_of_jax = step_of_jax(*theirs, X, Y)
    same((ours, value), (theirs, value_of_jax), 1e-7)


# -- functions of JAX's own

ACTIVATIONS = (
    "relu relu6 sigmoid softplus soft_sign silu log_sigmoid leaky_relu hard_sigmoid hard_silu hard_tanh elu celu selu "
    "gelu glu squareplus mish softmax log_softmax logsumexp standardize"
)
DENSITIES: dict[str, Callable] = {
    "norm": lambda x: stats.norm.logpdf(x, x**2, 1 + x),
    "beta": lambda x: stats.beta.logpdf(x, 1.5, 2.0),
    "gamma": lambda x: stats.gamma.logpdf(x, 1.5 + x),
    "cauchy": stats.cauchy.logpdf,
    "expon": stats.expon.logpdf,
    "laplace": stats.laplace.logpdf,
    "logistic": stats.logistic.logpdf,
    "pareto": lambda x: stats.pareto.logpdf(1 + x, 2.0),
    "t": lambda x: stats.t.logpdf(x, 3 + x),
    "uniform": stats.uniform.logpdf,
    "chi2": lambda x: stats.chi2.logpdf(x, 3.0),
    "truncnorm": lambda x: stats.truncnorm.logpdf(x, -1.0, 2.0),
    "gumbel_r": stats.gumbel_r.logpdf,
    "poisson": lambda x: stats.poisson.logpmf(2, x),
    "bernoulli": lambda x: stats.bernoulli.logpmf(1, x),
    "multivariate_normal": lambda x: stats.multivariate_normal.logpdf(x, x * 0, jnp.diag(x + 1)),
    "dirichlet": lambda x: stats.dirichlet.logpdf(x / x.sum(), 1 + x),
    "norm.cdf": stats.norm.cdf,
    "norm.logsf": stats.norm.logsf,
    "norm.ppf": stats.norm.ppf,
}
ONE = "gammaln digamma erf erfc erfinv expit logit ndtr ndtri log_ndtr entr i0 i0e i1 i1e sinc"
TWO = "xlogy xlog1py rel_entr kl_div betaln gammainc"


def of_two(name: str) -> Callable:
    return lambda x: getattr(jss, name)(x, 1 + x)


SPECIAL: dict[str, Callable] = {
    **{name: getattr(jss, name) for name in ONE.split() if hasattr(jss, name)},
    **{name: of_two(name) for name in TWO.split()},
    "zeta": lambda x: jss.zeta(3.0, x),
    "logsumexp": jss.logsumexp,
    "multigammaln": lambda x: jss.multigammaln(2 + x, 2),
}
LOOPS: dict[str, Callable] = {
    "scan": lambda x: lax.scan(lambda c, r: (jnp.tanh(c * r + x), c.sum()), x, x)[1],
    "map": lambda x: lax.map(lambda r: jnp.sin(r) * r, x),
    "fori": lambda x: lax.fori_loop(0, 4, lambda i, c: jnp.sin(c) + x, x),
    "associative": lambda x: lax.associative_scan(jnp.multiply, x),
    "cond in scan": lambda x: lax.scan(lambda c, r: (lax.cond(r > 0.5, jnp.sin, jnp.cos, c) + r, c), x[0], x)[0],
    "vmap of scan": lambda x: jax.vmap(lambda a: lax.scan(lambda c, r: (c * r, c + r), a, x)[1])(x),
}
FUNCTIONS = {
    "nn": {n: getattr(jax.nn, n) for n in ACTIVATIONS.split() if n != "glu"} | {"glu": lambda x: jax.nn.glu(x[:4])},
    "stats": DENSITIES, "special": SPECIAL, "loops": LOOPS,
}  # fmt: skip


@pytest.mark.parametrize("family", FUNCTIONS)
def test_functions(family):
    """Gradients, of a batch too, and second derivatives; all functions of a family in one compilation."""

    def all_of(module):
        def losses(x):
            return {n: (lambda x, f=f: jnp.sum(jnp.sin(f(x)))) for n, f in FUNCTIONS[family].items()}

        def derivatives(x, batch):
            found = {}
            for n, f in losses(x).items():
                found[n] = (module.grad(f)(x),)
                if family in ("nn", "loops"):
                    found[n] += module.vmap(module.grad(f))(batch), module.hessian(f)(x)
            return found

        return module.jit(derivatives)

    batch = jnp.stack([POSITIVE, 0.9 * POSITIVE])
    same(all_of(gl)(POSITIVE, batch), all_of(jax)(POSITIVE, batch), 1e-8)
