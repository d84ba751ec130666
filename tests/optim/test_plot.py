"""The pictures show the numbers they are given, with names on every axis."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from gradlab.ir.errors import ArgumentError, MissingExtraError
from gradlab.ir.extras import Missing
from gradlab.optim import minimize, plot, problems, train

VALLEY = problems.rosenbrock()


@pytest.fixture(scope="module")
def result():
    return minimize(VALLEY.fun, VALLEY.x0, history=True, max_iters=60)


def written(figure, tmp_path) -> int:
    """Its size as a PNG, once it is written without a warning."""
    path = tmp_path / "figure.png"
    figure.savefig(path)
    return path.stat().st_size


def test_history_of_a_minimum(result, tmp_path):
    figure = plot.history({"L-BFGS": result}, f_min=0.0, title="Valley")
    left, right = figure.axes
    x, y = left.lines[0].get_data()
    n = int(result.n_iters) + 1
    np.testing.assert_array_equal(x, result.history.n_evals[:n])
    np.testing.assert_array_equal(y, np.maximum(result.history.f[:n], np.finfo(float).eps))
    assert (left.get_yscale(), left.get_ylabel(), left.get_xlabel()) == ("log", "f − f*", "evaluations")
    assert right.get_ylabel() == "‖∇f‖∞" and written(figure, tmp_path) > 10_000
    iterations = plot.history(result, against="iterations").axes[0].lines[0].get_xdata()
    assert iterations[0] == 0 and iterations[-1] <= n - 1


def test_history_of_a_batch_is_a_band(tmp_path):
    starts = np.array([[-1.2, 1.0], [0.0, 0.0], [2.0, 2.0]])
    many = jax.jit(jax.vmap(lambda x: minimize(VALLEY.fun, x, history=True, max_iters=60)))(starts)
    figure = plot.history(many, f_min=0.0)
    assert len(figure.axes[0].collections) == 1 and written(figure, tmp_path) > 10_000


def test_history_of_a_training(tmp_path):
    run = train(
        lambda p, b: (p * b).sum() ** 2, np.ones(2), [np.ones(2)] * 8, optax.sgd(0.1), steps=60,
        evaluate=lambda p: {"a": 1.0, "b": 2.0}, evaluate_every=20,
    )  # fmt: skip
    figure = plot.history({"one": run, "two": run})
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss", "‖gradient‖", "evaluation"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), run.history["loss"])
    assert len(figure.axes[2].lines) == 4 and written(figure, tmp_path) > 10_000


def test_trajectories_in_one_picture_or_side_by_side(tmp_path):
    way = np.array([[-1.2, 1.0], [0.0, 0.1], [1.0, 1.0]])
    one = plot.trajectory(VALLEY.fun, way, minima=[1.0, 1.0], title="Valley")
    (axes,) = one.axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), way)
    assert axes.get_xlim()[0] < -1.2 and axes.get_xlim()[1] > 1
    three = plot.trajectory(VALLEY.fun, {"a": way, "b": way + 0.1, "c": way[:2]})
    assert [axes.get_title() for axes in three.axes] == ["a: 2 steps", "b: 2 steps", "c: 1 steps"]
    assert written(one, tmp_path) > 10_000 and written(three, tmp_path) > 10_000
    walled = plot.trajectory(lambda x: jax.numpy.where(x[0] > 0, jax.numpy.inf, (x**2).sum()), way)
    assert written(walled, tmp_path) > 5_000


def test_profiles(tmp_path):
    costs = {"quick": [1, 2, 4, np.inf], "sure": [3, 3, 3, 3]}
    for kind in ("performance", "data"):
        figure = plot.profile(costs, kind=kind)
        (axes,) = figure.axes
        assert axes.get_xscale() == "log" and axes.get_ylim()[1] > 1
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels == ["sure  100%", "quick  75%"] and written(figure, tmp_path) > 10_000


def test_what_cannot_be_drawn_is_refused(result):
    for call, match in (
        (lambda: plot.history(minimize(VALLEY.fun, VALLEY.x0)), "history=True"),
        (lambda: plot.history({}), "no result"),
        (lambda: plot.history(result, against="time"), "iterations"),
        (lambda: plot.trajectory(VALLEY.fun, np.zeros((3, 4))), "two numbers"),
        (lambda: plot.profile({"a": [1]}, kind="pie"), "performance"),
    ):
        with pytest.raises(ArgumentError, match=match):
            call()


# -- optional packages


def test_a_missing_package_names_the_extra():
    absent = Missing("orbax-checkpoint", "train", "saving checkpoints")
    assert not absent
    with pytest.raises(MissingExtraError, match=r"pip install 'gradlab\[train\]'"):
        absent.CheckpointManager  # noqa: B018
    with pytest.raises(MissingExtraError, match="saving checkpoints needs"):
        absent("directory", keep=2)
    assert issubclass(MissingExtraError, ImportError)


def test_importing_loads_no_optional_package_and_starts_no_device():
    """Matplotlib and Orbax take half a second each; devices that have started make forks deadlock."""
    code = (
        "import sys, gradlab.optim; "
        "assert not {'matplotlib', 'orbax.checkpoint'} & sys.modules.keys(); "
        "from jax.extend import backend; import jax; "
        "jax.config.update('jax_platforms', 'nonsense')\n"
        "try: jax.devices()\n"
        "except RuntimeError: print('fresh')"
    )
    root = str(Path(__file__).resolve().parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": root})
    assert done.stdout.strip() == "fresh", done.stderr
