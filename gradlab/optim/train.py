"""`train`: first-order training with any Optax optimizer, fused on the device, safe against kill -9."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ..ir.errors import ArgumentError, DTypeError
from ..ir.extras import Later
from .feeding import Feed, Mark, Plan, few_batches
from .fused import Recipe, Steps, is_key
from .loading import Source, source_of
from .metrics import Bar, Outlets, Record
from .pacing import Pace
from .precision import precision_of
from .trained import Trained, TrainStatus
from .training import Best, Options, Run

if TYPE_CHECKING:
    from . import checkpoints
else:
    checkpoints = Later("gradlab.optim.checkpoints")


def train(
    loss: Callable[..., Any],
    params: Any,
    data: Any,
    optimizer: optax.GradientTransformation,
    *,
    steps: int | None = None,
    epochs: int | None = None,
    has_aux: bool = False,
    key: Any = None,
    batch_size: int | None = None,
    shuffle: bool = True,
    seed: int = 0,
    drop_last: bool = True,
    on_device: bool | None = None,
    prefetch: int = 2,
    steps_per_call: int | str = "auto",
    accumulate: int = 1,
    clip: float | None = None,
    precision: Any = None,
    loss_scale: float | str | None = None,
    ema: float | None = None,
    evaluate: Callable[[Any], Any] | None = None,
    evaluate_every: int | None = None,
    monitor: str | None = None,
    mode: str = "min",
    patience: int | None = None,
    on_nonfinite: str = "stop",
    max_nonfinite: int = 20,
    checkpoint: str | os.PathLike | None = None,
    checkpoint_every: int | timedelta = timedelta(minutes=1),
    keep: int = 2,
    resume: bool = True,
    log: Any = None,
    log_every: int = 1,
    callback: Callable[[Record], Any] | None = None,
    progress: bool | None = None,
) -> Trained:
    """Parameters trained on batches, by steps that run several at a time in one XLA program.

    **Arguments:**
    `loss(params, batch)` or, with `key`, `loss(params, batch, key)`: a real number, or with `has_aux` a pair of it and
    anything, of which the numbers are logged. Differentiated by `gradlab.value_and_grad`, so written in gradlab.numpy,
    jax.numpy, Flax, ... `params`: a pytree of real or complex arrays; they are copied. `optimizer`: any of Optax's or
    `gradlab.optim`'s; those that search along a line are given value, grad and value_fn.
    `steps` or `epochs`: one of them; a step is one update.
    *Data.* `data`: with `batch_size`, arrays (an array, a tuple or dict of them) whose first axis counts examples, or a
    sequence of examples; each epoch is shuffled by (`seed`, epoch) unless `shuffle` is off, and `drop_last` leaves out
    a last, smaller batch. Otherwise anything that yields batches (pytrees of arrays) when iterated, the same ones each
    time: a list, a loader of torch, grain or tf.data, a function epoch → iterable, a generator for a single pass.
    (Workers of torch's loader need `multiprocessing_context="spawn"`, for JAX has threads and they would be forks; on
    resuming, the generator it shuffles by is put back.)
    `on_device`: whether arrays are kept on the device as a whole (None: up to 512 MiB). `prefetch`: how many groups of
    batches a thread prepares in advance. `key`: a seed or a key of JAX's; each step gets one folded from it.
    *Steps.* `steps_per_call`: how many share a program; "auto" measures. It changes no bit of the result. `accumulate`:
    batches a step averages its gradient over. `clip`: the largest norm of the gradient. `precision`: "bfloat16" or
    "float16", what the loss computes in; parameters stay as they are. `loss_scale`: a number or "dynamic" (the default
    for float16). `ema`: decay of a moving average of the parameters.
    *Looking.* `evaluate(params)`: a number or a dict of them, of the moving average if there is one; called every
    `evaluate_every` steps (default: after each epoch) and at the end. It must not keep `params`, whose memory is used
    again. `monitor`, `mode`: which of its values ("min" or "max") says what is best (default: the first, "min");
    `patience`: stop after so many evaluations without a better one.
    *Trouble.* `on_nonfinite`: when loss or gradient is not finite, "stop" with a diagnosis; "skip" the update; or
    "restore" the last checkpoint (in memory, if none is asked for) and go on with the data behind. Both give up after
    `max_nonfinite` of them, in a row or from one checkpoint. Ctrl-C stops after the step and returns.
    *Records.* `checkpoint`: a directory, `checkpoint_every`: steps (an int) or time; the newest `keep` stay, and the
    same call goes on from the last one to the same bits (`resume=False` starts over). `log`: a .csv file, a directory
    for TensorBoard, or a list of such; `callback(record)`: a dict of numbers by name, something true stops after the
    call at hand. Both see each `log_every`-th step, as does the history. `progress`: a bar (None: on a terminal).
    **Returns:** `Trained`. **Raises:** `ArgumentError`, `DTypeError`, `ShapeError`, `NonScalarError`, `StructureError`
    before anything has run or been written.
    """
    _require_optimizer(optimizer)
    for name, value in (("loss", loss), *((("evaluate", evaluate),) if evaluate is not None else ())):
        if not callable(value):
            raise ArgumentError(f"{name} must be a function, got {value!r}.")
    key = _key(key)
    _require_arguments(loss, key is not None)
    _require_params(params)
    if (steps is None) == (epochs is None):
        raise ArgumentError(f"train needs either steps or epochs, got steps={steps}, epochs={epochs}.")
    for name, value in (
        ("steps", steps), ("epochs", epochs), ("accumulate", accumulate), ("evaluate_every", evaluate_every),
        ("patience", patience), ("keep", keep), ("log_every", log_every), ("max_nonfinite", max_nonfinite),
    ):  # fmt: skip
        _require_count(name, value)
    _require_choice("on_nonfinite", on_nonfinite, ("stop", "skip", "restore"))
    _require_choice("mode", mode, ("min", "max"))
    if steps_per_call != "auto":
        _require_count("steps_per_call", steps_per_call)
    if evaluate is None and (patience is not None or evaluate_every is not None or monitor is not None):
        raise ArgumentError("patience, monitor and evaluate_every need evaluate=, a function of the parameters.")
    if clip is not None and not (_is_number(clip) and clip > 0):
        raise ArgumentError(f"clip must be a positive number, the largest norm of a gradient, got {clip!r}.")
    if ema is not None and not (_is_number(ema) and 0 <= ema < 1):
        raise ArgumentError(f"ema must be a decay in [0, 1), such as 0.999, got {ema!r}.")
    for name, value in (("prefetch", prefetch), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ArgumentError(f"{name} must be an integer, 0 or more, got {value!r}.")
    if checkpoint is not None and not isinstance(checkpoint, str | os.PathLike):
        raise ArgumentError(f"checkpoint must be the path of a directory, got {checkpoint!r}.")
    if not (progress is None or isinstance(progress, bool)):
        raise ArgumentError(f"progress must be True, False or None (a bar on a terminal), got {progress!r}.")
    save_every, save_seconds = _cadence(checkpoint_every)
    outlets = Outlets(log, callback)
    source = source_of(data, batch_size, shuffle, seed, drop_last, on_device)
    if source.one_pass and epochs is not None and epochs > 1:
        raise ArgumentError(
            f"a generator is used up after one pass, epochs={epochs} need more: give a list or a function of the epoch."
        )
    if epochs is not None and source.length is not None and source.length * epochs < accumulate:
        raise few_batches(accumulate, source.length * epochs)
    optimizer = optimizer if clip is None else optax.chain(optax.clip_by_global_norm(clip), optimizer)
    recipe = Recipe(
        loss=loss,
        has_aux=has_aux,
        optimizer=optimizer,
        keyed=key is not None,
        accumulate=accumulate,
        precision=precision_of(precision, loss_scale),
        ema=ema,
        on_nonfinite=on_nonfinite,
        max_nonfinite=max_nonfinite,
    )
    options = Options(
        evaluate=evaluate,
        evaluate_every=evaluate_every,
        patience=patience,
        mode=mode,
        monitor=monitor,
        save_every=save_every,
        save_seconds=save_seconds,
        log_every=log_every,
        max_nonfinite=max_nonfinite,
    )
    at_epochs = evaluate is not None and evaluate_every is None
    periods = tuple(every for every in (evaluate_every, save_every if _saves(checkpoint, recipe) else None) if every)
    plan = Plan(steps, epochs, periods, at_epochs)
    settings = _settings(source, recipe, key)

    programs = Steps(recipe, source.resident)
    state = programs.initial(params)
    store = None if checkpoint is None else checkpoints.Checkpoints(os.fspath(checkpoint), keep)
    bar = feed = None
    try:
        found = None
        if store is not None and resume and store.latest is not None:
            found = store.restore({"state": state, "best": state.params if evaluate is not None else None})
            _require_same_run(found[1]["settings"], settings)
            state = found[0]["state"]
        mark = Mark.of_json(found[1]["mark"]) if found else Mark()
        step = int(state.step)
        feed = Feed(source, plan, step, mark, accumulate, prefetch)
        first = None if steps is not None and step >= steps else feed.peek()
        if first is not None:
            programs.check(state, first, key)
        total = steps if steps is not None else _total(source, epochs, accumulate)
        bar = Bar(progress, total, step)
        outlets.open(step, found is not None and found[1]["evaluated_at"] == step)
        if store is not None and not found and store.latest is not None:
            store.clear()
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(first))
        pace = Pace(steps_per_call, size, _cap(plan, source, recipe))
        feed.k, feed.size = pace.k, pace.size
        save = None if store is None else _saver(store, settings)
        run = Run(programs, state, key, feed, plan, pace, options, bar, outlets, save, mark)
        if evaluate is not None:
            run.best_params = jax.tree.map(jnp.copy, state.params)
        if found:
            _go_on(run, *found)
        feed.start()
        if run.status is None:
            run.loop()
            if store is not None and store.latest != run.step:
                run.checkpoint()
    finally:
        for part in (feed, bar, outlets, store):
            if part is not None:
                part.close()
    return _trained(run, source, pace.size, step if found else None)


# -- checkpoints


def _saver(store: checkpoints.Checkpoints, settings: dict) -> Callable[[Run], None]:
    def save(run: Run) -> None:
        if store.latest == run.step:
            return
        host = {
            "settings": settings,
            "mark": run.mark.to_json(),
            "best": list(run.best),
            "evaluated_at": run.evaluated_at,
            "seconds": run.seconds,
            "status": None if run.status is None else run.status.name,
        }
        store.save(run.step, {"state": run.state, "best": run.best_params}, host, run.history.arrays())

    return save


def _go_on(run: Run, tree: dict, host: dict, arrays: dict[str, np.ndarray]) -> None:
    run.best, run.best_params = Best(*host["best"]), tree["best"]
    run.evaluated_at, run.seconds = host["evaluated_at"], host["seconds"]
    run.history.load(arrays)
    if host["status"] == TrainStatus.EARLY_STOPPED.name:
        run.status = TrainStatus.EARLY_STOPPED


def _settings(source: Source, recipe: Recipe, key: Any) -> dict:
    """What must not change between the parts of one run, or its bits would."""
    said = {
        "data (rows, batch_size, shuffle, seed, drop_last, checksum)": list(source.fingerprint),
        "accumulate": recipe.accumulate,
        "precision": str(recipe.precision),
        "ema": recipe.ema,
        "key": None if key is None else np.asarray(jax.random.key_data(key)).tolist(),
    }
    return json.loads(json.dumps(said))


def _require_same_run(saved: dict, settings: dict) -> None:
    for name, value in settings.items():
        if saved[name] != value:
            raise ArgumentError(
                f"the checkpoint was made with {name}={saved[name]}, now it is {value}: the run cannot go on to the "
                "same result. Pass what it was, or resume=False to start over, or another directory."
            )


def _saves(checkpoint: Any, recipe: Recipe) -> bool:
    return checkpoint is not None or recipe.on_nonfinite == "restore"


# -- the ends


def _trained(run: Run, source: Source, k: int, resumed_from: int | None) -> Trained:
    state, status, at = run.state, run.status, run.mark.position
    assert status is not None
    complete = at.epoch + (at.batch == source.length)  # an end that no batch came after
    return Trained(
        params=state.params,
        opt_state=state.opt,
        ema=state.ema,
        status=status,
        message=status.value + (f" {run.note}" if run.note else ""),
        step=run.step,
        epoch=complete if run.passes is None else run.passes,
        skipped=int(state.skipped),
        history=run.history.arrays(),
        best_params=run.best_params if run.best.value is not None else None,
        best_value=run.best.value,
        best_step=run.best.step,
        steps_per_call=k,
        seconds=run.seconds,
        resumed_from=resumed_from,
    )


def _total(source: Source, epochs: int | None, accumulate: int) -> int | None:
    return None if source.length is None or epochs is None else source.length * epochs // accumulate


def _cap(plan: Plan, source: Source, recipe: Recipe) -> int:
    """The most steps that can come between two ends of groups."""
    ends = list(plan.periods)
    if plan.at_epochs and source.length is not None:
        ends.append(-(-source.length // recipe.accumulate))
    return min(ends, default=2**30)


# -- what is refused


def _key(key: Any) -> Any:
    if key is None:
        return None
    if isinstance(key, int | np.integer) and not isinstance(key, bool):
        return jax.random.key(key)
    if isinstance(key, jax.Array):
        if is_key(key) and key.shape == ():
            return key
        if key.dtype == np.uint32 and key.shape == (2,):
            return jax.random.wrap_key_data(key)
    raise ArgumentError(f"key must be a seed (an int) or a key of jax.random.key, got {key!r}.")


def _require_optimizer(optimizer: Any) -> None:
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise ArgumentError(
            f"optimizer must be an optax.GradientTransformation, such as optax.adam(1e-3), got {optimizer!r}."
        )


def _require_params(params: Any) -> None:
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    if not leaves:
        raise ArgumentError("params hold no arrays: there is nothing to train.")
    for path, leaf in leaves:
        name = f"params{jax.tree_util.keystr(path)}"
        if not isinstance(leaf, bool | int | float | complex) and not hasattr(leaf, "dtype"):
            raise DTypeError(
                f"params must be arrays, {name} is {type(leaf).__name__}. Keep it outside of params: close over it, or "
                "split the tree (equinox.partition, flax.nnx.split)."
            )
        dtype = jnp.result_type(leaf)
        if not jnp.issubdtype(dtype, np.inexact):
            raise DTypeError(
                f"params must be real or complex, {name} is {dtype}. Integers have no gradient: close over them in the "
                "loss, or convert them with .astype(float)."
            )


def _require_arguments(loss: Callable, keyed: bool) -> None:
    try:
        taken = inspect.signature(loss)
    except (TypeError, ValueError):
        return  # written in C, or as good as
    try:
        taken.bind(*(("params", "batch", "key") if keyed else ("params", "batch")))
    except TypeError as error:
        how = "loss(params, batch, key), for key= is given" if keyed else "loss(params, batch); key=0 adds a third, key"
        raise ArgumentError(f"train calls {how}; the loss takes {taken} ({error}).") from None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _require_count(name: str, value: Any) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1):
        raise ArgumentError(f"{name} must be a positive integer, got {value!r}.")


def _require_choice(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, choices))}, got {value!r}.")


def _cadence(every: Any) -> tuple[int | None, float | None]:
    if isinstance(every, timedelta):
        if every.total_seconds() < 0:
            raise ArgumentError(f"checkpoint_every must not be negative, got {every!r}.")
        return None, every.total_seconds()
    if isinstance(every, bool) or not isinstance(every, int | np.integer) or every < 1:
        raise ArgumentError(
            f"checkpoint_every must be a positive integer, of steps, or a datetime.timedelta, got {every!r}."
        )
    return int(every), None
