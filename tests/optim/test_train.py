"""`train`: the same bits however it is run, resumed or fed; what it does about trouble; what it refuses."""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError
from gradlab.optim import TrainStatus, train
from gradlab.optim.checkpoints import Checkpoints
from gradlab.optim.fused import Recipe, Steps
from gradlab.optim.precision import precision_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5], np.float32) + 0.3).astype(np.float32)
PARAMS = {"w": np.zeros(3, np.float32), "b": np.float32(0)}
ADAM = optax.adam(3e-2)


def loss(params, batch):
    x, y = batch
    return gnp.mean((x @ params["w"] + params["b"] - y) ** 2)


def same(a: Any, b: Any) -> bool:
    return jax.tree.structure(a) == jax.tree.structure(b) and all(
        np.asarray(x).tobytes() == np.asarray(y).tobytes()
        for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    )


def batches(n: int = 30, epoch: int = 0) -> list:
    order = np.random.default_rng(epoch).integers(0, 60, (n, 8))
    return [(X[rows], Y[rows]) for rows in order]


def plain(params: Any, data: Any, optimizer: Any, loss: Any = loss) -> Any:
    """What train must equal: one step after the other, by JAX's gradient."""
    params = jax.tree.map(jnp.asarray, params)
    state = optimizer.init(params)
    for batch in data:
        updates, state = optimizer.update(jax.grad(loss)(params, batch), state, params)
        params = optax.apply_updates(params, updates)
    return params


# -- the same result however it is run


def test_equals_a_plain_loop():
    result = train(loss, PARAMS, batches(), ADAM, steps=30)
    assert result.status is TrainStatus.FINISHED and result.step == 30 and result.epoch == 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), result.params, plain(PARAMS, batches(), ADAM)
    )
    assert result.params["b"].dtype == np.float32
    assert PARAMS["w"].sum() == 0


def test_steps_per_call_changes_no_bit():
    one, five, auto = (
        train(loss, PARAMS, (X, Y), ADAM, steps=40, batch_size=8, steps_per_call=k) for k in (1, 5, "auto")
    )
    for other in (five, auto):
        assert same(one.params, other.params) and same(one.opt_state, other.opt_state)
        assert same(one.history["loss"], other.history["loss"])
    assert auto.steps_per_call > 1 and five.steps_per_call == 5
    np.testing.assert_array_equal(one.history["step"], np.arange(1, 41))


def test_data_in_every_form_gives_the_same_bits():
    reference = train(loss, PARAMS, batches(), ADAM, epochs=2, prefetch=0).params
    torch_like = [[x, y] for x, y in batches()]
    for data in (
        lambda epoch: (batch for batch in batches()),
        [jax.tree.map(jnp.asarray, batch) for batch in batches()],
        [(jax.tree.map(jnp.asarray, torch_like[0])), *torch_like[1:]],
    ):
        assert same(train(loss, PARAMS, data, ADAM, epochs=2).params, reference)
    generator = (batch for batch in batches() * 2)
    assert same(train(loss, PARAMS, generator, ADAM, steps=60).params, reference)


def test_rows_on_the_device_on_the_host_and_as_examples():
    options: dict = {"epochs": 3, "batch_size": 7, "seed": 5}
    results = [
        train(loss, PARAMS, (X, Y), ADAM, on_device=True, **options),
        train(loss, PARAMS, (X, Y), ADAM, on_device=False, **options),
        train(loss, PARAMS, list(zip(X, Y, strict=True)), ADAM, **options),
    ]
    assert results[0].step == 24 and results[0].epoch == 3
    assert same(results[0].params, results[1].params) and same(results[0].params, results[2].params)
    other = train(loss, PARAMS, (X, Y), ADAM, epochs=3, batch_size=7, seed=6)
    assert not same(results[0].params, other.params)


def test_a_smaller_last_batch_counts():
    result = train(loss, PARAMS, (X, Y), ADAM, epochs=2, batch_size=25, drop_last=False, shuffle=False)
    wanted = [(X[i : i + 25], Y[i : i + 25]) for i in (0, 25, 50)] * 2
    assert result.step == 6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), result.params, plain(PARAMS, wanted, ADAM))


def test_the_fused_step_donates_its_state(monkeypatch):
    seen = []
    train(loss, PARAMS, (X, Y), ADAM, steps=8, batch_size=8, evaluate=lambda p: seen.append(p) or 0.0, evaluate_every=4)
    assert seen[0]["w"].is_deleted() and not seen[-1]["w"].is_deleted()


def test_the_loop_copies_neither_parameters_nor_optimizer_state():
    """All of it is updated where it lies: a copy of each would double what a step of a large model moves."""
    recipe = Recipe(
        loss=lambda params, batch: gnp.mean((batch @ params) ** 2), has_aux=False, optimizer=ADAM, keyed=False,
        accumulate=1, precision=precision_of(None, None), ema=0.9, on_nonfinite="skip", max_nonfinite=3,
    )  # fmt: skip
    steps = Steps(recipe, None)
    state = steps.initial(np.ones((47, 31), np.float32))
    compiled = steps.lower(state, np.zeros((4, 5, 47), np.float32), None).compile().as_text()
    assert "f32[47,31]" in compiled and not re.search(r"f32\[47,31\]\S* copy\(", compiled)


# -- what a step is made of


def test_complex_parameters_go_downhill():
    target = np.array([1 + 2j, -3j], np.complex64)
    result = train(
        lambda z, b: gnp.sum(gnp.abs(z - b) ** 2), np.zeros(2, np.complex64), [target], optax.sgd(0.1), steps=60
    )
    np.testing.assert_allclose(result.params, target, atol=1e-4)


def test_accumulation_is_the_larger_batch():
    data = batches(12)
    merged = [jax.tree.map(lambda *xs: np.concatenate(xs), *data[i : i + 3]) for i in range(0, 12, 3)]
    found = train(loss, PARAMS, data, ADAM, epochs=1, accumulate=3)
    assert found.step == 4
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), found.params, plain(PARAMS, merged, ADAM))


def test_clipping_and_the_moving_average():
    sgd = optax.sgd(1.0)
    result = train(loss, PARAMS, batches(4), sgd, epochs=1, clip=1e-3, ema=0.5)
    wanted, average = jax.tree.map(jnp.asarray, PARAMS), PARAMS
    for k in range(1, 5):
        wanted = plain(PARAMS, batches(4)[:k], optax.chain(optax.clip_by_global_norm(1e-3), sgd))
        average = jax.tree.map(lambda old, new: 0.5 * old + 0.5 * new, average, wanted)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), (result.params, result.ema), (wanted, average)
    )


def test_a_key_a_step_and_auxiliary_values():
    def noisy(params, batch, key):
        x, y = batch
        noise = jax.random.normal(key, x.shape, x.dtype)
        return loss(params, (x + 0.1 * noise, y)), {"noise": gnp.sum(noise), "rows": x}

    result = train(noisy, PARAMS, batches(5), ADAM, steps=5, key=3, has_aux=True)
    wanted = [
        float(jax.random.normal(jax.random.fold_in(jax.random.key(3), step), (8, 3), np.float32).sum())
        for step in range(5)
    ]
    np.testing.assert_allclose(result.history["noise"], wanted, rtol=1e-5)
    assert "rows" not in result.history


def test_a_line_search_sees_value_and_function():
    """Of all the batches that a step accumulates: each of its halves alone has another minimum."""
    halves = [(X[:30], Y[:30] + 1), (X[30:], Y[30:] - 1)]
    result = train(loss, PARAMS, halves, optax.lbfgs(memory_size=4), steps=10, accumulate=2)
    design = np.c_[X, np.ones(60)]
    wanted, *_ = np.linalg.lstsq(design, np.concatenate([y for _, y in halves]), rcond=None)
    np.testing.assert_allclose(np.append(result.params["w"], result.params["b"]), wanted, atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_mixed_precision_learns_and_keeps_whole_parameters(precision):
    kinds = set()

    def looking(params, batch):
        kinds.add(params["w"].dtype.name)
        kinds.add(batch[0].dtype.name)
        return loss(params, batch)

    result = train(looking, PARAMS, batches(), optax.adam(5e-2), steps=150, precision=precision)
    assert kinds == {precision} and result.params["w"].dtype == np.float32
    assert result.history["loss"].dtype == np.float32 and result.history["loss"][-1] < 0.05


def test_the_loss_scale_backs_off_and_steps_go_on():
    def steep(params, batch):  # its gradient overflows float16 until the scale has come down
        return loss(params, batch) * 100

    result = train(steep, PARAMS, batches(), optax.adam(5e-2), steps=60, precision="float16")
    scales = result.history["loss_scale"]
    assert scales[0] == 2.0**14 and scales[-1] < scales[0] and 0 < result.skipped < 12
    assert result.status is TrainStatus.FINISHED and result.history["loss"][-1] < result.history["loss"][0] / 10


def test_flax_style_code_and_schedules():
    def dense(params, batch):
        x, y = batch
        return jnp.mean((jnp.dot(x, params["w"]) + params["b"] - y) ** 2)

    optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=optax.linear_schedule(0.1, 0.0, 10))
    result = train(dense, PARAMS, batches(), optimizer, steps=10)
    np.testing.assert_allclose(result.history["learning_rate"][1:], np.linspace(0.1, 0, 11)[:9], rtol=1e-5)
    np.testing.assert_allclose(result.params["w"], train(loss, PARAMS, batches(), optimizer, steps=10).params["w"])


# -- looking


def test_evaluation_and_early_stopping():
    values = iter([3.0, 2.0, 2.5, 2.6, 1.0])
    seen = []

    def evaluate(params):
        seen.append(np.asarray(params["b"]))
        return {"other": 0.0, "error": next(values)}

    result = train(loss, PARAMS, (X, Y), ADAM, epochs=9, batch_size=20, evaluate=evaluate, monitor="error", patience=2)
    assert result.status is TrainStatus.EARLY_STOPPED and result.step == 12
    assert (result.best_value, result.best_step) == (2.0, 6)
    assert result.best_params["b"] == seen[1]
    np.testing.assert_array_equal(result.history["eval/error"], [3, 2, 2.5, 2.6])
    np.testing.assert_array_equal(result.history["eval/step"], [3, 6, 9, 12])


def test_callback_csv_tensorboard_and_bar(tmp_path, capsys):
    records = []

    def callback(record):
        records.append(record)
        return record["step"] >= 20

    logs = [tmp_path / "log.csv", tmp_path / "board"]
    result = train(
        loss, PARAMS, (X, Y), ADAM, steps=50, batch_size=8, steps_per_call=4, log=logs, log_every=5, callback=callback,
        progress=True,
    )  # fmt: skip
    assert result.status is TrainStatus.CALLBACK and result.step == 20
    assert [record["step"] for record in records] == [5, 10, 15, 20]
    with logs[0].open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [record["loss"] for record in records]
    assert any(path.stat().st_size > 100 for path in logs[1].iterdir())
    shown = capsys.readouterr().err
    assert "20/50" in shown and "loss=" in shown and "examples/s" in shown


@pytest.fixture
def ctrl_c():
    """Ctrl-C as in a terminal: a shell's background jobs, and so perhaps these tests, ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_returns_the_last_state_and_the_next_run_goes_on(tmp_path, ctrl_c):
    whole = train(loss, PARAMS, (X, Y), ADAM, steps=400, batch_size=8, checkpoint=tmp_path / "whole")

    def interrupt(record):
        if record["step"] == 100:
            os.kill(os.getpid(), signal.SIGINT)

    options: dict = {"steps": 400, "batch_size": 8, "steps_per_call": 4, "checkpoint": tmp_path / "cut"}
    first = train(loss, PARAMS, (X, Y), ADAM, callback=interrupt, **options)
    assert first.status is TrainStatus.INTERRUPTED and first.step == 100
    second = train(loss, PARAMS, (X, Y), ADAM, **options)
    assert second.resumed_from == 100 and same(second.params, whole.params)
    assert same(second.history["loss"], whole.history["loss"])
    again = train(loss, PARAMS, (X, Y), ADAM, **options)
    assert again.resumed_from == 400 and same(again.params, whole.params)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


# -- checkpoints


class Killed(Exception):
    pass


def test_a_run_cut_short_anywhere_ends_with_the_same_bits(tmp_path):
    """Evaluations, early stopping, keys, generators of the epoch, a custom cadence: all of it goes on."""

    def noisy(params, batch, key):
        return loss(params, batch) + 0.01 * gnp.sum(params["w"] * jax.random.normal(key, (3,), np.float32))

    def run(where, die_at=None):
        def callback(record):
            if record["step"] == die_at:
                raise Killed

        return train(
            noisy, PARAMS, lambda epoch: iter(batches(10, epoch)), ADAM, epochs=6, key=1, accumulate=3, ema=0.9,
            evaluate=lambda p: float(p["b"]), mode="max", checkpoint=where, checkpoint_every=4, callback=callback,
            steps_per_call=3,
        )  # fmt: skip

    whole = run(tmp_path / "whole")
    for die_at in (3, 9, 15, 20):
        with pytest.raises(Killed):
            run(tmp_path / "cut", die_at)
    last = run(tmp_path / "cut")
    assert last.resumed_from == 16 and whole.step == 20
    for name in ("params", "opt_state", "ema", "best_params", "best_value", "best_step", "epoch"):
        assert same(getattr(last, name), getattr(whole, name)), name
    kept = [name for name in whole.history if "seconds" not in name]
    assert all(same(last.history[name], whole.history[name]) for name in kept)


def test_who_is_killed_while_deleting_leaves_no_half_checkpoint(tmp_path, monkeypatch, caplog):
    first = Checkpoints(tmp_path, 1)
    monkeypatch.setattr(Checkpoints, "_empty_bin", lambda self: None)
    for step in (1, 2):
        first.save(step, PARAMS, {}, {})
        first.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "deleted"]
    monkeypatch.undo()
    again = Checkpoints(tmp_path, 1)
    assert again.latest == 2
    again.close()
    assert [path.name for path in tmp_path.iterdir()] == ["2"]
    assert not caplog.records  # Orbax warns of a checkpoint without all of its files


def test_a_checkpoint_of_another_run_is_refused(tmp_path):
    options: dict = {"batch_size": 8, "checkpoint": tmp_path, "steps": 5}
    train(loss, PARAMS, (X, Y), ADAM, **options)
    with pytest.raises(ArgumentError, match="of another run.*resume=False"):
        train(loss, PARAMS, (X, Y), optax.sgd(0.1), **options)
    with pytest.raises(ArgumentError, match="data.*resume=False"):
        train(loss, PARAMS, (X, Y), ADAM, seed=1, **options)
    assert train(loss, PARAMS, (X, Y), optax.sgd(0.1), resume=False, **options).resumed_from is None
    with pytest.raises(ArgumentError, match="a file"):
        (tmp_path / "file").write_text("")
        train(loss, PARAMS, (X, Y), ADAM, steps=1, batch_size=8, checkpoint=tmp_path / "file")


def test_other_data_behind_a_checkpoint_is_noticed(tmp_path):
    train(loss, PARAMS, batches(), ADAM, steps=5, checkpoint=tmp_path)
    with pytest.raises(ArgumentError, match="not what it was.*seed"):
        train(loss, PARAMS, batches(epoch=1), ADAM, steps=9, checkpoint=tmp_path)
    assert train(loss, PARAMS, batches(), ADAM, steps=9, checkpoint=tmp_path).resumed_from == 5


class Loader:
    """Batches with an iterator that can say where it is and go there, as grain's."""

    def __init__(self):
        self.fetched = 0

    def __iter__(self):
        return Places(self)


class Places:
    def __init__(self, loader):
        self.at, self.loader = 0, loader

    def __iter__(self):
        return self

    def __next__(self):
        if self.at == 30:
            raise StopIteration
        self.at += 1
        self.loader.fetched += 1
        return batches()[self.at - 1]

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        self.at = state["at"]


def test_an_iterator_that_knows_its_place_is_not_rewound(tmp_path):
    train(loss, PARAMS, Loader(), ADAM, steps=20, checkpoint=tmp_path)
    loader = Loader()
    result = train(loss, PARAMS, loader, ADAM, steps=28, checkpoint=tmp_path, prefetch=0)
    assert result.resumed_from == 20 and loader.fetched == 8
    assert same(result.params, train(loss, PARAMS, batches(), ADAM, steps=28).params)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")
def test_killed_at_random_moments(tmp_path):
    """`GRADLAB_KILLS=50` for the whole of it, about a second a kill."""
    kills = os.environ.get("GRADLAB_KILLS", "6")
    script = Path(__file__).parent / "killing.py"
    env = os.environ | {"PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [sys.executable, str(script), "train", kills, str(tmp_path / "jobs")], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    assert f"{kills} kills" in done.stdout


# -- steps that are not finite


def poisoned(n: int = 30, at: int = 11) -> list:
    data = batches(n)
    data[at] = (data[at][0] * np.float32("nan"), data[at][1])
    return data


def test_nonfinite_stops_with_a_diagnosis():
    result = train(loss, PARAMS, poisoned(), ADAM, steps=30, steps_per_call=4)
    assert result.status is TrainStatus.NONFINITE and result.step == 11
    assert "the batch not finite in [0] (24 of 24)" in result.message and "Step 12" in result.message
    assert "['w'] (3 of 3)" in result.message and "the parameters finite" in result.message
    assert same(result.params, train(loss, PARAMS, batches(), ADAM, steps=11).params)


def test_nonfinite_is_skipped():
    result = train(loss, PARAMS, poisoned(), ADAM, steps=30, on_nonfinite="skip", steps_per_call=4)
    assert result.status is TrainStatus.FINISHED and (result.step, result.skipped) == (30, 1)
    rest = batches()[:11] + batches()[12:]
    assert same(result.params, train(loss, PARAMS, rest, ADAM, steps=29).params)
    nothing_else = [poisoned()[11]] * 9
    given_up = train(loss, PARAMS, nothing_else, ADAM, steps=9, on_nonfinite="skip", max_nonfinite=3)
    assert given_up.status is TrainStatus.NONFINITE and given_up.skipped == 4


@pytest.mark.parametrize("on_disk", [False, True])
def test_nonfinite_goes_back_to_the_last_checkpoint(tmp_path, on_disk):
    where = tmp_path / "ck" if on_disk else None
    result = train(
        loss, PARAMS, poisoned(), ADAM, steps=30, on_nonfinite="restore", checkpoint_every=5, checkpoint=where,
        steps_per_call=3,
    )  # fmt: skip
    assert result.status is TrainStatus.FINISHED and (result.step, result.skipped) == (30, 1)
    seen = batches()[:10] + batches()[12:]
    assert same(result.params, train(loss, PARAMS, seen, ADAM, steps=28).params)
    given_up = train(loss, PARAMS, [poisoned()[11]] * 9, ADAM, steps=9, on_nonfinite="restore", max_nonfinite=2)
    assert given_up.status is TrainStatus.NONFINITE


# -- trouble with data


def test_data_that_ends_or_fails():
    ended = train(loss, PARAMS, (batch for batch in batches(7)), ADAM, steps=30)
    assert ended.status is TrainStatus.DATA_ENDED and ended.step == 7 and "function of the epoch" in ended.message

    def failing():
        yield from batches(3)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        train(loss, PARAMS, failing(), ADAM, steps=30)
    assert not [t for t in threading.enumerate() if t.name == "gradlab-feed" and t.is_alive() and time.sleep(0.3)]


def test_time_between_checkpoints(tmp_path):
    result = train(
        loss, PARAMS, (X, Y), ADAM, steps=30, batch_size=8, checkpoint=tmp_path, checkpoint_every=timedelta(0), keep=3,
        steps_per_call=5,
    )  # fmt: skip
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [20, 25, 30] and result.step == 30


def test_gradients_are_those_of_gradlab():
    """abs has slope 0 at 0 in gradlab, 1 in JAX: where the parameter starts, it stays."""
    result = train(lambda p, batch: gnp.abs(p), np.float32(0), [np.zeros(1)], optax.sgd(1.0), steps=3)
    assert result.params == 0 and gl.grad(gnp.abs)(0.0) == 0
