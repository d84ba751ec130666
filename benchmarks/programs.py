"""The programs that are differentiated: each written once, over whichever numpy namespace it is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy

Array = Any
PROGRAMS: dict[str, Program] = {}


@dataclass(frozen=True)
class Program:
    """`build(np)` returns the function; `args(rng)` its arguments, as NumPy arrays or Python numbers.

    `argnums` are what is differentiated; `hessian` says whether the second derivative is measured too.
    """

    name: str
    about: str
    build: Callable[[Any], Callable[..., Array]]
    args: Callable[[numpy.random.Generator], tuple]
    argnums: int | tuple[int, ...] = 0
    hessian: bool = False


def program(name: str, about: str, args, argnums: int | tuple[int, ...] = 0, hessian: bool = False):
    """Registers the function under it, which takes the namespace and returns the function to differentiate."""

    def register(build):
        PROGRAMS[name] = Program(name, about, build, args, argnums, hessian)
        return build

    return register


# -- small: what is measured is the overhead


@program("x²y+y+2", "two scalars", lambda r: (3.0, 4.0), argnums=(0, 1), hessian=True)
def slope(np):
    return lambda x, y: x * x * y + y + 2


@program("chain-600", "600 operations on 3 numbers, one after the other", lambda r: (r.normal(size=3),))
def chain(np):
    def f(x):
        for _ in range(200):
            x = np.sin(x) * 1.01 + 0.1
        return np.sum(x)

    return f


@program("sum(sin(z)z)", "3 numbers", lambda r: (r.normal(size=3),), hessian=True)
def tiny(np):
    return lambda z: np.sum(np.sin(z) * z)


def layers(rng: numpy.random.Generator, *sizes: int) -> list[tuple[Array, Array]]:
    shapes = zip(sizes[:-1], sizes[1:], strict=True)
    return [(rng.normal(size=(n, m)) / n**0.5, numpy.zeros(m)) for n, m in shapes]


@program(
    "small-mlp",
    "3 tanh layers 8-16-16-1, 32 rows",
    lambda r: (layers(r, 8, 16, 16, 1), r.normal(size=(32, 8)), r.normal(size=(32, 1))),
)
def small_mlp(np):
    def f(params, x, y):
        for w, b in params[:-1]:
            x = np.tanh(x @ w + b)
        w, b = params[-1]
        return np.mean((x @ w + b - y) ** 2)

    return f


@program("rosenbrock-100", "the banana valley in 100 variables", lambda r: (r.normal(size=100),), hessian=True)
def rosenbrock(np):
    return lambda x: np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


# -- matrix products


def one_hot(labels: Array, n: int) -> Array:
    return numpy.eye(n)[labels]


def log_softmax(np, z):
    z = z - np.max(z, axis=-1, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=-1, keepdims=True))


@program(
    "big-mlp",
    "relu layers 784-512-512-10, 256 rows, softmax cross-entropy",
    lambda r: (layers(r, 784, 512, 512, 10), r.normal(size=(256, 784)), one_hot(r.integers(10, size=256), 10)),
)
def big_mlp(np):
    def f(params, x, y):
        for w, b in params[:-1]:
            x = np.maximum(x @ w + b, 0.0)
        w, b = params[-1]
        return -np.mean(np.sum(y * log_softmax(np, x @ w + b), axis=1))

    return f


@program(
    "attention",
    "one block, 4 heads, 8 sequences of 64 tokens, width 64",
    lambda r: (
        [r.normal(size=(64, 4, 16)) / 8 for _ in range(3)] + [r.normal(size=(4, 16, 64)) / 8],
        r.normal(size=(8, 64, 64)),
    ),
)
def attention(np):
    def f(params, x):
        wq, wk, wv, wo = params
        q, k, v = (np.einsum("btd,dhe->bhte", x, w) for w in (wq, wk, wv))
        scores = np.einsum("bhte,bhse->bhts", q, k) / 4.0
        scores = scores - np.max(scores, axis=-1, keepdims=True)
        weights = np.exp(scores)
        weights = weights / np.sum(weights, axis=-1, keepdims=True)
        mixed = np.einsum("bhts,bhse->bhte", weights, v)
        y = x + np.einsum("bhte,hed->btd", mixed, wo)
        return np.mean(y**2)

    return f


@program(
    "matmul-chain",
    "tanh(A x) 8 times, x 256×256",
    lambda r: (r.normal(size=(256, 256)) / 16, r.normal(size=(256, 256))),
)
def matmul_chain(np):
    def f(a, x):
        for _ in range(8):
            x = np.tanh(a @ x)
        return np.sum(x)

    return f


@program(
    "einsum",
    "four 150×150 matrices, every entry of their ring",
    lambda r: tuple(r.normal(size=(150, 150)) / 12 for _ in range(4)),
    argnums=(0, 1, 2, 3),
)
def contraction(np):
    # Spelled as products of two, so that no library gains by choosing a better order of contraction.
    return lambda a, b, c, d: np.sum(np.einsum("ij,jl->il", a, c) * np.einsum("ik,kl->il", b, d))


# -- statistics


@program(
    "logistic",
    "10,000 rows of 50",
    lambda r: (r.normal(size=50), r.normal(size=(10_000, 50)), r.choice([-1.0, 1.0], size=10_000)),
    hessian=True,
)
def logistic(np):
    return lambda w, x, y: np.sum(np.logaddexp(0.0, -y * (x @ w))) + 0.5 * np.sum(w**2)


@program(
    "cross-entropy",
    "20,000 rows of 100, 10 classes",
    lambda r: (r.normal(size=(100, 10)), r.normal(size=(20_000, 100)), one_hot(r.integers(10, size=20_000), 10)),
)
def cross_entropy(np):
    return lambda w, x, y: -np.sum(y * log_softmax(np, x @ w)) / y.shape[0]


@program(
    "mixture",
    "log-likelihood of 50 Gaussians, 1,000 points in 20 dimensions",
    lambda r: (r.normal(size=50), r.normal(size=(50, 20)), r.normal(size=(50, 20)) / 4, r.normal(size=(1_000, 20))),
    argnums=(0, 1, 2),
)
def mixture(np):
    def f(alpha, mean, log_scale, x):
        scaled = (x[:, None, :] - mean[None, :, :]) * np.exp(log_scale)[None, :, :]
        inner = alpha + np.sum(log_scale, axis=1) - 0.5 * np.sum(scaled**2, axis=2)
        top = np.max(inner, axis=1, keepdims=True)
        each = np.log(np.sum(np.exp(inner - top), axis=1)) + top[:, 0]
        top = np.max(alpha)
        return np.sum(each) - x.shape[0] * (np.log(np.sum(np.exp(alpha - top))) + top)

    return f


def squared_distances(np, x, c):
    return np.sum(x**2, axis=1)[:, None] - 2 * (x @ c.T) + np.sum(c**2, axis=1)[None, :]


def k_means(np):
    return lambda c, x: np.sum(np.min(squared_distances(np, x, c), axis=1))


for _k in (100, 1_000):
    program(
        f"k-means-{_k}",
        f"nearest of {_k} centres, 10,000 points in 16 dimensions",
        lambda r, k=_k: (r.normal(size=(k, 16)), r.normal(size=(10_000, 16))),
    )(k_means)


# -- long arrays


@program("log-sum-exp", "max, sub, exp, sum, log over 1,280,000", lambda r: (r.normal(size=1_280_000),))
def log_sum_exp(np):
    def f(x):
        top = np.max(x)
        return np.log(np.sum(np.exp(x - top))) + top

    return f


@program("elementwise", "8 functions of 1,000,000 numbers", lambda r: (r.normal(size=1_000_000),))
def elementwise(np):
    def f(x):
        y = np.sin(x) * np.exp(-(x**2)) + np.sqrt(1 + x**2)
        return np.sum(np.tanh(y) * np.where(x > 0, x, 0.1 * x) + np.log1p(y**2))

    return f


@program("reductions", "mean, variance, norm, max over axes of 1000×1000", lambda r: (r.normal(size=(1_000, 1_000)),))
def reductions(np):
    def f(x):
        centred = x - np.mean(x, axis=0)
        scale = np.sqrt(np.mean(centred**2, axis=0) + 1e-6)
        y = centred / scale
        return np.sum(np.max(y, axis=1)) + np.sqrt(np.sum(y**2)) + np.sum(np.sqrt(np.sum(y**2, axis=1)))

    return f
