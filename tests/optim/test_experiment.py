"""`experiment`, its file and its report: each configuration once, targets as defined, profiles as in the papers."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import optax
import pytest
import scipy.optimize

from gradlab.ir.errors import ArgumentError
from gradlab.optim import Report, experiment, plot, problems
from gradlab.optim.profiles import data_profile, performance_profile

VALLEY = problems.rosenbrock()


def bowl(x):
    return ((x - 1) ** 2).sum()


def scipy_lbfgsb(fun, x0):
    return scipy.optimize.minimize(fun, x0, jac=True, method="L-BFGS-B", options={"gtol": 1e-6, "ftol": 0})


METHODS = {"L-BFGS": "lbfgs", "short": {"method": "lbfgs", "options": {"memory": 2}}, "SciPy": scipy_lbfgsb}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    path = tmp_path_factory.mktemp("experiment") / "runs.sqlite"
    given = {"valley": VALLEY, "bowl": (bowl, np.zeros(3), 0.0)}
    return path, given, experiment(given, METHODS, seeds=3, budget=100, path=path)


def test_every_run_is_there_and_right(found):
    _, _, report = found
    assert len(report.runs) == 2 * 3 * 3
    for run in report.runs:
        assert run.success and run.status != "ERROR", run
        np.testing.assert_allclose(run.x, 1, atol=1e-4)
        assert len(run.fs) == len(run.evals) == len(run.gnorms) and run.evals[-1] <= run.n_evals <= 100
        assert run.path is None if run.n != 2 or run.seed else run.path.shape[1:] == (2,)
        assert run.lanes == (1 if run.method == "SciPy" else 3)
    first = {run.method: run for run in report.runs if run.problem == "bowl" and run.seed == 0}
    assert first["SciPy"].fs[0] == first["L-BFGS"].fs[0] == 3.0
    others = {run.x.tobytes() for run in report.runs if run.problem == "bowl"}
    assert len(others) > 1


def test_evaluations_of_others_are_counted_at_the_function(found):
    _, _, report = found
    (run,) = [run for run in report.runs if (run.problem, run.method, run.seed) == ("Rosenbrock", "SciPy", 0)]
    count = 0

    def counting(x):
        nonlocal count
        count += 1
        return scipy.optimize.rosen(x), scipy.optimize.rosen_der(x)

    scipy_lbfgsb(counting, np.array([-1.2, 1.0]))
    assert run.n_evals == count == len(run.fs)


def test_what_is_in_the_file_is_not_run_again(found):
    path, given, report = found
    with sqlite3.connect(path) as connection:
        before = connection.execute("SELECT hash, created, arrays FROM runs ORDER BY hash").fetchall()
    connection.close()
    again = experiment(given, METHODS, seeds=3, budget=100, path=path)
    more = experiment(given, METHODS, seeds=[0, 7], budget=100, path=path)
    with sqlite3.connect(path) as connection:
        after = {row[0]: row for row in connection.execute("SELECT hash, created, arrays FROM runs")}
    connection.close()
    assert all(after[row[0]] == row for row in before) and len(after) == len(before) + 6
    assert again.table() == report.table()
    loaded = Report.load(path)
    assert len(loaded.runs) == len(after) and "SciPy" in str(loaded)
    with pytest.raises(ArgumentError, match="no file"):
        Report.load(path.with_name("nowhere"))
    assert {run.seed for run in more.runs} == {0, 7}
    assert len(experiment(given, {"L-BFGS": "lbfgs"}, budget=99, path=path).runs) == 2


def test_a_run_that_raises_is_told_and_tried_again(tmp_path):
    calls = []

    def fails_once(fun, x0):
        calls.append(1)
        if len(calls) == 1:
            raise RuntimeError("no licence")
        return scipy_lbfgsb(fun, x0)

    arguments = ({"bowl": (bowl, np.zeros(2), 0.0)}, {"mine": fails_once})
    report = experiment(*arguments, path=tmp_path / "runs.sqlite")
    assert report.runs[0].status == "ERROR" and "no licence" in str(report)
    assert report.table()[0]["solved"] == 0
    report = experiment(*arguments, path=tmp_path / "runs.sqlite")
    assert len(report.runs) == 1 and report.runs[0].status == "CONVERGED"


def test_the_budget_ends_every_kind_of_method(tmp_path):
    def endless(fun, x):
        while True:
            x = x - 1e-3 * fun(x)[1]

    methods = {"L-BFGS": "lbfgs", "endless": endless, "Adam": optax.adam(1e-3)}
    report = experiment(VALLEY, methods, budget=12, path=tmp_path / "runs.sqlite")
    for run in report.runs:
        assert run.n_evals <= 12 and run.status in ("MAX_EVALS", "MAX_ITERS") and not run.success
        assert report.cost(run) == np.inf
    assert report.table()[0]["solved"] == 0


def test_targets_and_costs(found):
    _, _, report = found
    for run in report.runs:
        target = report.target(run)
        assert target == pytest.approx(1e-6)
        cost = int(report.cost(run))
        k = list(run.evals).index(cost)
        assert run.fs[k] <= target and np.all(run.fs[:k] > target)
    costs = report.costs()
    assert all(len(row) == 6 for row in costs.values())


@pytest.mark.parametrize(
    ("methods", "options", "match"),
    [
        ([], {}, "at least one"),
        ("nobody", {}, "one of"),
        (["lbfgs"], {"seeds": 0}, "seeds"),
        (["lbfgs"], {"budget": 0}, "budget"),
        ({"x": 3}, {}, "must be a name"),
        ([optax.adam(1.0)], {}, "label"),
    ],
)
def test_bad_input_is_refused(tmp_path, methods, options, match):
    with pytest.raises(ArgumentError, match=match):
        experiment(VALLEY, methods, path=tmp_path / "runs.sqlite", **options)
    with pytest.raises(ArgumentError, match="name of its own"):
        experiment([VALLEY, VALLEY], "lbfgs", path=tmp_path / "runs.sqlite")
    (tmp_path / "text").write_text("no database, but long enough to be read as the header of one" * 9)
    with pytest.raises(ArgumentError, match="no SQLite file"):
        experiment(VALLEY, "lbfgs", path=tmp_path / "text")


# -- profiles


def test_profiles_are_those_of_the_papers():
    costs = {"a": [10, 20, np.inf, 40], "b": [20, 10, 30, np.inf]}
    found = performance_profile(costs)
    np.testing.assert_array_equal(found["a"].x, [1, 2])
    np.testing.assert_array_equal(found["a"].share, [0.5, 0.75])
    np.testing.assert_array_equal(found["b"].share, [0.5, 0.75])
    within = data_profile(costs)["a"]
    np.testing.assert_array_equal(within.x, [10, 20, 40])
    np.testing.assert_array_equal(within.share, [0.25, 0.5, 0.75])
    nothing = performance_profile({"a": [np.inf], "b": [3]})
    assert nothing["a"].share[-1] == 0 and nothing["b"].share[0] == 1
    for wrong in ({"a": [1], "b": [1, 2]}, {"a": [0.0]}, {"a": [np.nan]}, {}):
        with pytest.raises(ArgumentError, match="cost"):
            performance_profile(wrong)


def test_a_band_holds_the_quartiles():
    x = np.array([[1.0, 2, 3], [1, 2, np.nan], [1, 3, 4]])
    y = np.array([[9.0, 5, 1], [8, 4, np.nan], [7, 3, 2]])
    found = plot.band(x, y)
    np.testing.assert_array_equal(found.x, [1, 2, 3, 4])
    np.testing.assert_array_equal(found.median, [8, 5, 3, 2])  # a run that ended stays where it was


# -- the page


def test_the_report_is_one_page_and_its_pictures(found, tmp_path):
    _, _, report = found
    page = report.report(tmp_path / "report", title="Valleys & bowls").read_text()
    names = {"performance", "data", "time", "convergence-rosenbrock", "convergence-bowl", "trajectory-rosenbrock"}
    assert {path.stem for path in (tmp_path / "report").glob("*.png")} == names
    assert page.count("data:image/png;base64,") == len(names) and "Valleys &amp; bowls" in page
    assert page.count("<tr>") >= 3 + 6 and "http" not in page.replace("http-equiv", "")
    text = str(report)
    assert "L-BFGS" in text and "6/6" in text


@pytest.mark.skipif(not hasattr(os, "fork"), reason="lives are forks")
def test_killed_at_random_moments(tmp_path):
    """`GRADLAB_KILLS=50` for the whole of it, about a second a kill."""
    kills = os.environ.get("GRADLAB_KILLS", "4")
    script = Path(__file__).parent / "killing.py"
    env = os.environ | {"PYTHONPATH": str(script.parents[2])}
    done = subprocess.run(
        [sys.executable, str(script), "experiment", kills, str(tmp_path / "jobs")],
        capture_output=True,
        text=True,
        env=env,
    )
    assert done.returncode == 0, done.stderr
    assert f"{kills} kills" in done.stdout
