"""Examples of JAX's primitives: for each one a function of arrays, whose jaxpr has it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

RNG = np.random.default_rng(7)
X = RNG.uniform(0.2, 0.9, (3, 4))
Y = RNG.uniform(0.2, 0.9, (3, 4))
V = RNG.uniform(0.2, 0.9, 5)
BIG = RNG.uniform(1.2, 3.0, (3, 4))
Z = X + 1j * Y
I = RNG.integers(1, 9, (3, 4))  # noqa: E741
U = I.astype(np.uint32)
B = X > 0.5
T = RNG.standard_normal((2, 3, 4))
S = RNG.standard_normal((4, 4))
SPD = S @ S.T + 4 * np.eye(4)


class Case(NamedTuple):
    """`fn(*args)`, and whether its gradients are those of JAX."""

    fn: Callable[..., Any]
    args: tuple
    grad: bool = True


def case(fn: Callable[..., Any], *args: Any, grad: bool = True) -> Case:
    return Case(fn, args, grad)


def dot(x, y, contract, batch=((), ()), **how):
    return lax.dot_general(x, y, (contract, batch), **how)


def take(x, indices, mode, **how):
    return jnp.take(x, indices, axis=0, mode=mode, **how)


def windows(x, starts, sizes, mode, offsets, collapsed=(), axes=(0, 1)):
    numbers = lax.GatherDimensionNumbers(offsets, collapsed, axes)
    return lax.gather(x, starts, numbers, sizes, mode=mode)


def written(x, starts, updates, mode, update, inserted=(), axes=(0, 1), scatter=lax.scatter, **how):
    numbers = lax.ScatterDimensionNumbers(update, inserted, axes)
    return scatter(x, starts, updates, numbers, mode=mode, **how)


@jax.custom_jvp
def tripled(x):
    return x * x


tripled.defjvp(lambda primals, tangents: (tripled(*primals), 3 * tangents[0] * primals[0]))


@jax.custom_vjp
def halved(x):
    return jnp.sin(x)


halved.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (0.5 * ct * jnp.cos(x),))

CLIP, FILL, PROMISE = (
    lax.GatherScatterMode.CLIP, lax.GatherScatterMode.FILL_OR_DROP, lax.GatherScatterMode.PROMISE_IN_BOUNDS,
)  # fmt: skip
AT = np.array([[0, 1], [2, 3], [1, 9], [-1, 0]])
ROWS = np.array([2, 0, 2])
KEY = jax.random.key(3)

UNARY = (
    "neg sqrt rsqrt cbrt square exp exp2 expm1 log log1p logistic floor ceil is_finite sign abs sin cos tan asin acos "
    "atan sinh cosh tanh asinh atanh erf erfc erf_inv lgamma digamma bessel_i0e bessel_i1e round"
)
BINARY = "add sub mul div rem pow max min atan2 eq ne lt le gt ge igammac"

ELEMENTWISE = {
    **{name: case(getattr(lax, name), X) for name in UNARY.split()},
    **{name: case(getattr(lax, name), X, BIG) for name in BINARY.split()},
    "acosh": case(lax.acosh, BIG),
    "polygamma": case(lambda x: lax.polygamma(jnp.full_like(x, 1.0), x), X),
    "igamma": case(lambda x: lax.igamma(BIG, x), X),
    "igamma_grad_a": case(lambda x: lax.igamma_grad_a(BIG, x), X, grad=False),
    "nextafter": case(lax.nextafter, X, BIG, grad=False),
    "zeta": case(lax.zeta, BIG, X, grad=False),
    "regularized_incomplete_beta": case(lambda x: lax.betainc(BIG, BIG + 1, x), X),
    "integer_pow": case(lambda x: lax.integer_pow(x, 3) + lax.integer_pow(x, -2), X),
    "pow.int": case(lambda x: lax.pow(x, I), X),
    "round.away": case(lambda x: lax.round(4 * x, lax.RoundingMethod.AWAY_FROM_ZERO), X),
    "scalars": case(lambda x: lax.sub(2.0, lax.mul(x, 3.0)) / 2, X),
    "stretched": case(lambda x: x - jnp.max(x, 0, keepdims=True), X),
    "clamp": case(lambda x: lax.clamp(0.3, x, 0.7), X),
    "clamp.arrays": case(lax.clamp, X - 0.1, Y, X + 0.2),
    "select_n": case(lambda x, y: lax.select_n(B, x, y), X, Y),
    "select_n.int": case(lambda x, y: lax.select_n(np.asarray(I % 3, np.int32), x, y, x * y), X, Y),
    "select_n.scalar": case(lambda x, y: lax.select_n(jnp.sum(x) > 0, x, y), X, Y),
    "stop_gradient": case(lambda x: x * lax.stop_gradient(x), X),
    "copy": case(lambda x: jnp.array(x, copy=True), X),
    "device_put": case(lambda x: jax.device_put(x) * 2, X),
    "name": case(lambda x: checkpoint_name(x, "here") * x, X),
    "convert_element_type": case(lambda x: x.astype(np.float32).astype(np.float64) * (x > 0.5).astype(int), X),
    "convert_element_type.int": case(lambda x: lax.convert_element_type(9 * x, np.int8), X),
    "convert_element_type.complex": case(lambda z: z.real * (z.astype(bool)), Z),
    "real": case(lambda z: lax.real(z) + lax.imag(z) ** 2, Z),
    "complex": case(lambda x, y: lax.abs(lax.complex(x, y)), X, Y),
    "conj": case(lambda z: (lax.conj(z) * z * z).real, Z),
    "abs.complex": case(lambda z: lax.abs(lax.sin(z)), Z),
    "mul.complex": case(lambda z: (z * z / (1 + z)).imag, Z),
    "and": case(lambda x: x * ((I & 3) | (I ^ ~I)), X),
    "not": case(lambda i: lax.bitwise_not(i) ^ lax.shift_left(i, 1), I),
    "shift": case(lambda i: lax.shift_right_logical(i, 1) + lax.shift_right_arithmetic(i, 2), I),
    "clz": case(lambda i: lax.clz(i) + lax.population_count(i), U),
    "div.int": case(lambda i: lax.div(i, 2) + lax.rem(i, 3), I),
    "logic": case(lambda x: jnp.where(((x > 0.5) & B) | ~B ^ B, x, 0.0), X),
    "log2": case(jnp.log2, X),
    "one_minus_square": case(lambda x: jnp.arcsin(x) + jnp.arctanh(x), X),
    "add_jaxvals": case(jax.grad(lambda x: jnp.sum(jnp.sin(x) * x)), X),
    "weak": case(lambda x: 2 * jnp.sin(x), 0.5),
}

MOVEMENT = {
    "broadcast_in_dim": case(lambda x: lax.broadcast_in_dim(x, (2, 3, 4), (1, 2)), X),
    "broadcast_in_dim.grown": case(lambda x: lax.broadcast_in_dim(x[:, :1], (3, 2, 4), (0, 1)), X),
    "reshape": case(lambda x: lax.reshape(x, (2, 6)), X),
    "reshape.dimensions": case(lambda x: lax.reshape(x, (2, 6), dimensions=(1, 0)), X),
    "squeeze": case(lambda x: lax.squeeze(x[:1], (0,)), X),
    "expand_dims": case(lambda x: lax.expand_dims(x, (0, 2)), X),
    "transpose": case(lambda x: lax.transpose(x, (2, 0, 1)), T),
    "rev": case(lambda x: lax.rev(x, (0, 2)), T),
    "slice": case(lambda x: lax.slice(x, (0, 1), (3, 4), (2, 1)), X),
    "split": case(lambda x: lax.split(x, (1, 3), axis=1)[1], X),
    "concatenate": case(lambda x, y: lax.concatenate([x, y, x], 1), X, Y),
    "stack": case(lambda x, y: jnp.stack([x, y], 1), X, Y),
    "unstack": case(lambda x: jnp.unstack(x, axis=1)[2], X),
    "tile": case(lambda x: jnp.tile(x, (2, 3)), X),
    "pad": case(lambda x: lax.pad(x, 0.5, ((1, 0, 1), (-1, 2, 0))), X),
    "pad.cut": case(lambda x, y: lax.pad(x, y[0, 0], ((0, -2, 2), (-1, -1, 0))), X, Y),
    "iota": case(lambda x: x * lax.broadcasted_iota(x.dtype, x.shape, 1) + jnp.arange(4), X),
    "dynamic_slice": case(lambda x, i: lax.dynamic_slice(x, (i, 1), (2, 2)), X, 2),
    "dynamic_slice.index": case(lambda x, i: lax.dynamic_index_in_dim(x, i), X, np.int32(-1)),
    "dynamic_update_slice": case(lambda x, y, i: lax.dynamic_update_slice(x, y[:2, :2], (i, 1)), X, Y, 2),
    "gather.take": case(lambda x: take(x, ROWS, "clip") + take(x, ROWS + 2, "wrap"), X),
    "gather.fill": case(lambda x: jnp.nan_to_num(take(x, ROWS + 1, "fill")), X),
    "gather.value": case(lambda x: take(x, ROWS + 1, "fill", fill_value=2.5), X),
    "gather.pairs": case(lambda x: x[ROWS, ROWS + 1] + x[:, ROWS].sum(), X),
    "gather.apart": case(lambda x: x[ROWS % 2, :, ROWS], T),
    "gather.scalar": case(lambda x, i: x[i] + x[:, i].sum(), X, 1),
    "gather.boolean": case(lambda x: x[np.array([True, False, True])], X),
    "gather.negative": case(lambda x, i: x[i, -1], X, ROWS - 3),
    "gather.lines": case(lambda x: jnp.take_along_axis(x, I % 4, 1), X),
    "gather.lines_fill": case(lambda x: jnp.take_along_axis(x, I, 1, mode="fill", fill_value=0), X),
    "gather.window": case(lambda x: windows(x, AT, (2, 3), CLIP, (1, 2)), X),
    "gather.window_fill": case(lambda x: windows(x, AT, (2, 2), FILL, (0, 2)), X),
    "gather.window_whole": case(lambda x: windows(x, AT[:, :1], (1, 4), CLIP, (1,), (0,), (0,)), X),
    "gather.window_first": case(lambda x: windows(x, AT[:, :1] % 2, (2, 2), PROMISE, (1, 2), (), (0,)), X),
    "gather.one": case(lambda x: windows(x, AT[0], (1, 2), CLIP, (0, 1)), X),
    "gather.batched": case(lambda x: jax.vmap(lambda a, i: a[i])(x, ROWS), X),
    "scatter": case(lambda x, y: x.at[ROWS[:2]].set(y[:2]), X, Y),
    "scatter.unique": case(lambda x, y: x.at[ROWS[:2], ROWS[:2]].set(y[0, :2], unique_indices=True), X, Y),
    "scatter.columns": case(lambda x, y: x.at[:, ROWS[:2]].set(y[:, :2]), X, Y),
    "scatter.slice": case(lambda x, y: x.at[1:, 1].set(y[1:, 0]), X, Y),
    "scatter.strided": case(lambda x, y: x.at[::2, 1:3].set(y[::2, :2]), X, Y),
    "scatter.traced": case(lambda x, y, i: x.at[i].set(y[0]), X, Y, 1),
    "scatter_add": case(lambda x, y: x.at[ROWS].add(y), X, Y),
    "scatter_add.drop": case(lambda x, y: x.at[ROWS + 1].add(y, mode="drop"), X, Y),
    "scatter_add.clip": case(lambda x, y: x.at[ROWS + 1, 2].add(y[:, 0], mode="clip"), X, Y),
    "scatter_add.segments": case(lambda x: jax.ops.segment_sum(x, ROWS, 3), X),
    "scatter_add.window": case(
        lambda x, y: written(x, AT, y[None, :2, :2] * np.ones((4, 1, 1)), FILL, (1, 2), scatter=lax.scatter_add), X, Y
    ),
    "scatter_add.batched": case(lambda x, y: jax.vmap(lambda a, i, b: a.at[i].add(b))(x, ROWS, y[:, 0]), X, Y),
    "scatter.window": case(lambda x, y: written(x, AT[:1], y[None, :2, :3], CLIP, (1, 2)), X, Y),
    "scatter_mul": case(lambda x, y: x.at[ROWS[:2]].multiply(y[:2], unique_indices=True), X, Y),
    "scatter_min": case(lambda x, y: x.at[ROWS].min(y), X, Y),
    "scatter_max": case(lambda x, y: x.at[ROWS].max(y), X, Y),
    "gather.of_scatter": case(lambda y: jnp.zeros((3, 4)).at[1].set(y[0])[ROWS], Y),
}

REDUCTIONS = {
    "reduce_sum": case(lambda x: jnp.sum(x, (0, 2)), T),
    "reduce_prod": case(lambda x: jnp.prod(x, 1), T),
    "reduce_max": case(lambda x: jnp.max(x, 0) + jnp.min(x), T),
    "reduce_and": case(lambda x: x * jnp.all(x > 0.1, 0) * jnp.any(x > 0.5), X),
    "reduce_xor": case(lambda i: lax.reduce(i, 0, lax.bitwise_xor, (0,)), I),
    "argmax": case(lambda x: jnp.argmax(x, 1) + lax.argmin(x, 1, np.int32), X),
    "cumsum": case(lambda x: lax.cumsum(x, 1) + lax.cumsum(x, 0, reverse=True), X),
    "cumprod": case(lambda x: lax.cumprod(x, 1), X),
    "cummax": case(lambda x: lax.cummax(x, 1) - lax.cummin(x, 0), X),
    "cumlogsumexp": case(lambda x: lax.cumlogsumexp(x, 1), X),
    "sort": case(lambda x: lax.sort(x, dimension=0), X),
    "sort.keys": case(lambda x, y: lax.sort((np.asarray(I % 3), x, y), dimension=1, num_keys=2)[2], X, Y),
    "top_k": case(lambda x: lax.top_k(x, 2)[0], X),
    "dot_general": case(lambda x, y: dot(x, y, ((1,), (1,))), X, Y),
    "dot_general.batch": case(lambda x, y: dot(x, y, ((2,), (1,)), ((0,), (0,))), T, T.transpose(0, 2, 1).copy()),
    "dot_general.precision": case(lambda x, y: jnp.dot(x, y.T, precision="highest"), X, Y),
    "dot_general.wide": case(
        lambda x, y: dot(x, y, ((0,), (0,)), preferred_element_type=np.float64),
        X.astype(np.float32),
        Y.astype(np.float32),
    ),  # fmt: skip
    "dot_general.einsum": case(lambda x, y: jnp.einsum("bij,ik->kbj", x, y), T, S[:3]),
    "matmul": case(lambda x, v: x @ v @ x[:, 0], SPD, S[0]),
    "conv_general_dilated": case(
        lambda x, k: lax.conv_general_dilated(x, k, (2, 1), "SAME", rhs_dilation=(1, 2)),
        RNG.standard_normal((2, 3, 6, 5)),
        RNG.standard_normal((4, 3, 3, 2)),
    ),  # fmt: skip
    "reduce_window_sum": case(lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 2), (1, 2), "SAME"), X),
    "reduce_window_max": case(lambda x: lax.reduce_window(x, -np.inf, lax.max, (2, 2), (1, 1), "VALID"), X),
    "reduce_window_min": case(lambda x: lax.reduce_window(x, np.inf, lax.min, (2, 2), (1, 1), "VALID"), X),
    "fft": case(lambda x: jnp.abs(jnp.fft.rfft2(x)) + jnp.abs(jnp.fft.ifft(x + 0j))[:, :3], X),
    "fft.inverse": case(lambda x: jnp.fft.irfft(x * (1 + 0.5j)), X),
}

FACTORIZATIONS = {
    "cholesky": case(lambda a: jnp.linalg.cholesky(a), SPD),
    "eigh": case(lambda a: jnp.linalg.eigh(a)[0] * jnp.linalg.eigh(a)[1] ** 2, SPD),
    "lu": case(lambda a: jax.scipy.linalg.lu(a)[1] + lax.linalg.lu(a)[2], S),
    "lu_pivots_to_permutation": case(lambda a: a[lax.linalg.lu_pivots_to_permutation(lax.linalg.lu(a)[1], 4)], S),
    "qr": case(lambda a: jnp.linalg.qr(a)[1] ** 2, S),
    "svd": case(lambda a: jnp.linalg.svd(a)[1] + jnp.linalg.svd(a, compute_uv=False), S),
    "eig": case(lambda a: jnp.abs(jnp.linalg.eig(a)[0]), S, grad=False),
    "eigvals": case(lambda a: jnp.abs(jnp.linalg.eigvals(a)).sum(), S),
    "triangular_solve": case(
        lambda a, b: lax.linalg.triangular_solve(a, b, left_side=True, lower=True, transpose_a=True), SPD, S
    ),
    "triangular_solve.right": case(lambda a, b: lax.linalg.triangular_solve(a, b, unit_diagonal=True), SPD, S),
}

KEYS = {
    "random_seed": case(lambda x: x * jax.random.uniform(jax.random.key(5), x.shape), X),
    "random_split": case(lambda x: x * jax.random.normal(jax.random.split(KEY)[1], x.shape), X),
    "random_fold_in": case(lambda x: x * jax.random.bernoulli(jax.random.fold_in(KEY, 2), 0.5, x.shape), X),
    "random_wrap": case(lambda x: x * jax.random.normal(jax.random.PRNGKey(1), x.shape), X),
    "random_unwrap": case(lambda x: x * jax.random.key_data(KEY)[0], X),
    "random_bits": case(lambda x: x * jax.random.bits(KEY, (4,), np.uint8), X),
    "random_gamma": case(lambda x: jax.random.gamma(KEY, x), X),
}

CALLS = {
    "while": case(lambda x: x * lax.while_loop(lambda c: c < 5, lambda c: c * 2, jnp.sum(lax.stop_gradient(x))), X),
    "scan": case(lambda x: lax.scan(lambda c, r: (c * r + 1, jnp.sin(c)), x[0], x)[1], X),
    "fori": case(lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * x, x), X),
    "cond": case(lambda x: lax.cond(x[0, 0] > 0, jnp.sin, jnp.cos, x), X),
    "switch": case(lambda x, i: lax.switch(i, [jnp.sin, jnp.cos, jnp.exp], x), X, 1),
    "call": case(lambda x: jax.nn.logsumexp(x, 1) + jax.nn.softmax(x)[:, 0], X),
    "associative_scan": case(lambda x: lax.associative_scan(jnp.multiply, x), X),
    "jit": case(jax.jit(lambda x: jnp.sin(x) * jax.jit(jnp.cos)(x)), X),
    "custom_jvp_call": case(lambda x: tripled(x) + jax.nn.relu(x - 0.5) + jax.nn.silu(x), X),
    "custom_vjp_call": case(lambda x: halved(x) * x, X),
    "remat": case(lambda x: jax.checkpoint(lambda y: jnp.sin(jnp.sin(y)))(x), X),
    "remat.merging": case(lambda x: jax.checkpoint(lambda y: jnp.exp(-y), prevent_cse=False)(x), X),
}

# What the IR has no word for: one opaque equation, and JAX's own derivative.
OPAQUE = {
    "reduce_precision": case(lambda x: lax.reduce_precision(x, 8, 10), X),
    "linear_solve": case(lambda a, b: jnp.linalg.solve(a, b), SPD, S),
    "bitcast_convert_type": case(lambda x: x * (lax.bitcast_convert_type(x, np.int64) % 7), X),
    "erf_inv.half": case(lambda x: lax.reduce_precision(jnp.float32(x), 5, 10) * x, X),
    "scatter.apply": case(lambda x: x.at[ROWS[:2]].apply(jnp.sin), X, grad=False),
    "reduce": case(lambda x: lax.reduce(x, 1.0, lambda a, b: a * b + 0.0, (0,)), X, grad=False),
    "optimization_barrier": case(lambda x: lax.optimization_barrier(x) * 2, X),
    "tridiagonal_solve": case(lambda a, b: lax.linalg.tridiagonal_solve(a * 0 + 0.1, a + 2, a * 0 + 0.1, b), V[:4], S),
    "schur": case(lambda a: lax.linalg.schur(a)[0], SPD, grad=False),
    "approx_max_k": case(lambda x: lax.approx_max_k(x, 2)[0], X),
}

TABLES = {
    "elementwise": ELEMENTWISE, "movement": MOVEMENT, "reductions": REDUCTIONS, "factorizations": FACTORIZATIONS,
    "keys": KEYS, "calls": CALLS,
}  # fmt: skip
