"""Several training steps as one XLA program: the loop runs on the device, its state is updated in place.

The loop's trip count is an input, and each batch passes a barrier on its way into the body. So a step is the same
code, and gives the same bits, however many steps share a call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from ..api import value_and_grad
from ..ir.errors import ArgumentError, ShapeError, StructureError
from .precision import LossScale, Precision, adapted, cast

RESERVED = ("step", "epoch", "loss", "grad_norm", "loss_scale", "learning_rate", "seconds")


class State(NamedTuple):
    """All that a step changes: what a checkpoint holds and a call donates.

    **Attributes:** `params`, `opt`: parameters and optimizer state; `ema`: their moving average or None; `scale`: a
    `LossScale` or None; `step`: () int32, steps taken; `skipped`: () int32, steps whose update was left out; `streak`:
    () int32, those since the last good one; `halted`: () bool, a non-finite step stopped the loop.
    """

    params: Any
    opt: Any
    ema: Any
    scale: Any
    step: Any
    skipped: Any
    streak: Any
    halted: Any


class Recipe(NamedTuple):
    """What a step is made of; the same for all of a run.

    **Attributes:** `loss(params, batch[, key])`, `has_aux`, `optimizer`: the user's; `keyed`: whether the loss takes a
    key; `accumulate`: batches a step; `precision`; `ema`: decay or None; `on_nonfinite`: "stop", "skip" or "restore";
    `max_nonfinite`: skipped steps in a row after which "skip" gives up.
    """

    loss: Callable
    has_aux: bool
    optimizer: optax.GradientTransformation
    keyed: bool
    accumulate: int
    precision: Precision
    ema: float | None
    on_nonfinite: str
    max_nonfinite: int


class Steps:
    """The programs of one run: `evaluate` for a look at a batch, `call` for the fused loop."""

    def __init__(self, recipe: Recipe, resident: Any):
        self.recipe = recipe
        self.resident = resident
        self._gradient = value_and_grad(_objective(recipe), has_aux=True)
        self._programs = jax.jit(self._loop, donate_argnums=(0,))
        self.look = jax.jit(self._look)

    def initial(self, params: Any) -> State:
        """The state before the first step, on buffers of its own (the caller's are not donated)."""
        recipe = self.recipe
        params = jax.tree.map(_own, params)
        scale = None
        if recipe.precision.dynamic:
            scale = LossScale(jnp.float32(recipe.precision.scale), jnp.int32(0))
        return State(
            params=params,
            opt=jax.tree.map(_own, recipe.optimizer.init(params)),
            ema=None if recipe.ema is None else jax.tree.map(_own, params),
            scale=scale,
            step=jnp.int32(0),
            skipped=jnp.int32(0),
            streak=jnp.int32(0),
            halted=jnp.array(False),
        )

    def check(self, state: State, batches: Any, key: Any) -> None:
        """Raises what is wrong with loss, optimizer or batch, before anything has run.

        **Raises:** `NonScalarError` and the other errors of `value_and_grad`; `ShapeError`, `StructureError` where the
        optimizer returns something other than it was given.
        """
        given = state, self.resident, batches, key
        jax.eval_shape(lambda *args: self._step(args[0], self._batch(args[1], args[2], 0), args[3]), *given)

    def call(self, state: State, batches: Any, key: Any, start: int, stop: int) -> tuple[State, dict, Any]:
        """Steps `start` to `stop` of the stacked `batches`, in one program.

        **Returns:** the state, which replaces the one given (its buffers are gone); per-step values by name, each (k,);
        how far it came: less than `stop` if a step was not finite and the policy is not to skip it.
        """
        return self._programs(state, self.resident, batches, key, jnp.int32(start), jnp.int32(stop))

    def lower(self, state: State, batches: Any, key: Any) -> Any:
        """The program of `call` as JAX lowers it, to look at."""
        return self._programs.lower(state, self.resident, batches, key, jnp.int32(0), jnp.int32(1))

    # -- inside the program

    def _loop(self, state, resident, batches, key, start, stop):
        logs = jax.eval_shape(self._step, state, self._batch(resident, batches, 0), key)[1]
        k = jax.tree.leaves(batches)[0].shape[0]
        logs = {name: jnp.zeros((k,), aval.dtype) for name, aval in logs.items()}

        def goes_on(carry):
            i, state, _ = carry
            return (i < stop) & ~state.halted

        def body(carry):
            i, state, logs = carry
            batch = lax.optimization_barrier(self._batch(resident, batches, i))
            state, row = self._step(state, batch, key)  # no barrier around the state: XLA would copy all of it
            row = lax.optimization_barrier(row)
            logs = {name: logs[name].at[i].set(row[name]) for name in logs}
            return i + ~state.halted, state, logs

        reached, state, logs = lax.while_loop(goes_on, body, (start, state, logs))
        return state, logs, reached

    def _batch(self, resident, batches, i):
        batch = jax.tree.map(lambda x: lax.dynamic_index_in_dim(x, i, keepdims=False), batches)
        if resident is None:
            return batch
        return jax.tree.map(lambda rows: rows.at[batch].get(mode="promise_in_bounds"), resident)

    def _step(self, state: State, batch: Any, key: Any) -> tuple[State, dict]:
        recipe = self.recipe
        scale = state.scale.scale if state.scale is not None else recipe.precision.scale
        if key is not None:
            key = jax.random.fold_in(key, state.step)
        value, metrics, grads = self._mean_gradient(state.params, batch, key, scale)
        finite = jnp.isfinite(value)
        for leaf in jax.tree.leaves(grads):
            finite &= jnp.all(jnp.isfinite(leaf))

        def update() -> tuple:
            extra = {}
            if isinstance(recipe.optimizer, optax.GradientTransformationExtraArgs):
                extra = {"value": value, "grad": grads, "value_fn": self._value_of(batch, key)}
            updates, opt = recipe.optimizer.update(grads, state.opt, state.params, **extra)
            params = optax.apply_updates(state.params, updates)
            _require_same(state.params, params, "parameters")
            _require_same(state.opt, opt, "state")
            ema, decay = state.ema, recipe.ema
            if decay is not None:
                ema = jax.tree.map(lambda old, new: decay * old + (1 - decay) * new, ema, params)
            return jax.tree.map(_typed_as, (params, opt, ema), old)

        # A branch, for `where` would make XLA copy parameters and optimizer state at every step.
        old = (state.params, state.opt, state.ema)
        params, opt, ema = lax.cond(finite, update, lambda: old)
        at_fault = ~finite  # a gradient that only the loss scale drove out of range is nobody's fault
        scaled = None
        if state.scale is not None:
            scaled = adapted(state.scale, finite)
            at_fault &= state.scale.scale <= 1
        streak = jnp.where(finite, 0, state.streak + at_fault)
        halted = streak > recipe.max_nonfinite if recipe.on_nonfinite == "skip" else at_fault
        new = State(
            params=params,
            opt=opt,
            ema=ema,
            scale=scaled,
            step=state.step + ~halted,
            skipped=state.skipped + ~finite,
            streak=streak,
            halted=halted,
        )
        logs = {"loss": value, "grad_norm": optax.tree.norm(grads), **metrics}
        if scaled is not None:
            logs["loss_scale"] = scaled.scale
        return new, logs | _learning_rate(state.opt)

    def _mean_gradient(self, params, batch, key, scale):
        """(loss, metrics, gradient) of one step: of its batch, or the mean over the batches it accumulates."""
        n = self.recipe.accumulate

        def of(batch, key):
            (_, (value, metrics)), grads = self._gradient(params, batch, key, scale)
            # The direction of steepest ascent is the conjugate of what JAX calls the gradient.
            return value, _scalars(metrics), jax.tree.map(lambda g: jnp.conj(g) / scale, grads)

        if n == 1:
            return of(batch, key)

        def add(total, item):
            batch, i = item
            return jax.tree.map(jnp.add, total, of(batch, _micro_key(key, i))), None

        first = of(jax.tree.map(lambda x: x[0], batch), _micro_key(key, 0))
        rest = jax.tree.map(lambda x: x[1:], batch), jnp.arange(1, n)
        total, _ = lax.scan(add, first, rest)
        return jax.tree.map(lambda x: x / n, total)

    def _value_of(self, batch, key):
        """The loss of a step as a function of the parameters alone, for line searches."""
        recipe, objective = self.recipe, _objective(self.recipe)

        def value(params):
            if recipe.accumulate == 1:
                return objective(params, batch, key, 1.0)[0]
            items = batch, jnp.arange(recipe.accumulate)
            return jnp.mean(lax.map(lambda item: objective(params, item[0], _micro_key(key, item[1]), 1.0)[0], items))

        return value

    def _look(self, params, batches, i, key, step):
        """(batch, loss, gradient) of one step of a group, without a scale: what a diagnosis reads."""
        batch = self._batch(self.resident, batches, i)
        key = None if key is None else jax.random.fold_in(key, step)
        value, _, grads = self._mean_gradient(params, batch, key, 1.0)
        return batch, value, grads


def _objective(recipe: Recipe) -> Callable:
    """(params, batch, key, scale) -> (scale · loss, (loss, aux)), in the precision asked for."""

    @wraps(recipe.loss)
    def objective(params, batch, key, scale):
        dtype = recipe.precision.dtype
        given = cast(params, dtype), cast(batch, dtype)
        out = recipe.loss(*given, key) if recipe.keyed else recipe.loss(*given)
        if recipe.has_aux:
            if not isinstance(out, tuple) or len(out) != 2:
                raise StructureError("has_aux=True needs the loss to return a pair (value, aux). Drop has_aux=True.")
            value, aux = out
        else:
            value, aux = out, {}
        if getattr(value, "shape", None) != () or getattr(value, "dtype", None) is None:
            return value, (value, aux)  # no number: the gradient says so, and in whose words
        if dtype is not None and value.dtype == dtype:
            value = value.astype(jnp.float32)
        if not recipe.precision.dynamic and recipe.precision.scale == 1:
            return value, (value, aux)
        return value * scale, (value, aux)

    return objective


def _scalars(aux: Any) -> dict[str, Any]:
    """The numbers among the auxiliary values, by where they stand: what can be shown and logged."""
    found = {}
    for path, leaf in jax.tree_util.tree_flatten_with_path(aux)[0]:
        if not (hasattr(leaf, "dtype") or isinstance(leaf, int | float)):
            continue
        if jnp.ndim(leaf) == 0 and not jnp.iscomplexobj(leaf):
            name = jax.tree_util.keystr(path, simple=True, separator="/") or "aux"
            if name in RESERVED:
                raise ArgumentError(
                    f"an auxiliary value of the loss is called {name!r}, as one of train's own: rename."
                )
            found[name] = jnp.asarray(leaf, jnp.result_type(leaf, jnp.float32))
    return found


def _learning_rate(opt: Any) -> dict[str, Any]:
    """The one that `optax.inject_hyperparams` keeps in the state, if there is one."""
    found = [
        leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(opt)[0]
        if jax.tree_util.keystr(path).endswith(".hyperparams['learning_rate']") and jnp.ndim(leaf) == 0
    ]
    return {"learning_rate": jnp.asarray(found[0])} if len(found) == 1 else {}


def _micro_key(key: Any, i: Any) -> Any:
    return None if key is None else jax.random.fold_in(key, i)


def _own(leaf: Any) -> jax.Array:
    """A copy that nobody else holds, of a definite dtype: donated, and the same type after each step."""
    if is_key(leaf):
        return jax.random.wrap_key_data(jnp.array(jax.random.key_data(leaf), copy=True), impl=jax.random.key_impl(leaf))
    return jnp.array(leaf, dtype=jnp.result_type(leaf), copy=True)


def is_key(leaf: Any) -> bool:
    """Whether it is an array of random keys."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _typed_as(new: Any, kept: Any) -> Any:
    return new if is_key(kept) else jnp.asarray(new, kept.dtype)


def _require_same(before: Any, after: Any, what: str) -> None:
    if jax.tree.structure(before) != jax.tree.structure(after):
        raise StructureError(
            f"the optimizer must return {what} structured as they were, {jax.tree.structure(before)}, "
            f"got {jax.tree.structure(after)}."
        )
    for (path, a), b in zip(jax.tree_util.tree_flatten_with_path(before)[0], jax.tree.leaves(after), strict=True):
        if jnp.shape(a) != jnp.shape(b):
            name = jax.tree_util.keystr(path)
            raise ShapeError(f"the optimizer turned {what}{name} of shape {jnp.shape(a)} into shape {jnp.shape(b)}.")
