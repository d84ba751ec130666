"""`python -m gradlab`: each command does what the function of its name does; errors teach; statuses tell scripts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gradlab.tools.command import main

MODEL = """
import gradlab as gl
import gradlab.numpy as np

scale = 2.0

def loss(w, x):
    h = np.tanh(w @ x)
    return scale * np.log(h).sum()

@gl.custom_jvp
def cube(x):
    return x**3

@cube.defjvp
def _(primals, tangents):
    return cube(primals[0]), 2.0 * primals[0] ** 2 * tangents[0]

def typo(x, n=1):
    return x + undefined

class Models:
    @staticmethod
    def square(x):
        return x * x
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a_model.py").write_text(MODEL)
    yield "a_model.py"
    sys.modules.pop("a_model", None)


GOOD, BAD = "np.ones((2, 3)), np.ones(3)", "np.ones((2, 3)), -np.ones(3)"


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("show", "tanh"),
        ("source", "def loss(w, x):"),
        ("cost", "FLOPs"),
        ("check", "agree"),
        ("diagnose", "nothing conspicuous"),
    ],
)
def test_commands_print(command, shown, model, capsys):
    assert main([command, f"{model}:loss", "--args", GOOD]) == 0
    assert shown in capsys.readouterr().out


def test_the_gradient_of_a_method_by_module_name(model, capsys):
    assert main(["source", "a_model:Models.square", "--args", "3.0", "--grad"]) == 0
    assert "x_bar = 2.0 * x" in capsys.readouterr().out


def test_what_is_wrong_with_the_function_is_status_1(model, capsys):
    assert main(["diagnose", f"{model}:loss", "--args", BAD]) == 1
    assert "`log` made the first NaN" in capsys.readouterr().out
    assert main(["check", f"{model}:cube", "--args", "scale"]) == 1
    assert "cube" in capsys.readouterr().err


@pytest.mark.parametrize(("command", "ending"), [("draw", "svg"), ("draw", "html"), ("report", "html")])
def test_files_are_written(command, ending, model, tmp_path, capsys):
    path = tmp_path / f"out.{ending}"
    assert main([command, f"{model}:loss", "--args", GOOD, "-o", str(path)]) == 0
    assert "tanh" in path.read_text() and str(path) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("where", "args", "said"),
    [
        ("a_model.py:los", GOOD, "has no 'los'. It has: Models, cube, loss, typo"),
        ("nowhere.py:loss", GOOD, "no file"),
        ("nowhere:loss", GOOD, "cannot be imported"),
        ("a_model.py", GOOD, "Write a_model.py:loss"),
        ("a_model.py:scale", GOOD, "no function"),
        ("a_model.py:loss", "np.ones(3), y", "NameError"),
        ("a_model.py:loss", "np.ones(3),", "loss(w, x) was given 1 argument: missing a required argument: 'x'"),
    ],
)
def test_what_is_wrong_with_the_command_is_status_2(where, args, said, model, capsys):
    assert main(["show", where, "--args", args]) == 2
    assert said in capsys.readouterr().err


def test_errors_of_the_users_own_show_his_frames_only(model, tmp_path, capsys):
    assert main(["show", f"{model}:typo", "--args", "1.0"]) == 1
    said = capsys.readouterr().err
    assert "return x + undefined" in said and said.endswith("NameError: name 'undefined' is not defined\n")
    assert "gradlab" not in said
    (tmp_path / "broken.py").write_text("1 / 0")
    assert main(["show", "broken.py:f"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().err
    assert main(["draw", f"{model}:loss", "--args", GOOD, "--output", "nowhere/a.svg"]) == 2
    assert "nowhere" in capsys.readouterr().err


def test_the_gradient_is_by_the_real_arguments(model, capsys):
    Path(model).write_text(MODEL + "def power(x, n):\n    return x**n\n")
    assert main(["source", f"{model}:power", "--args", "3.0, 2", "--grad"]) == 0
    assert "# f64[]~, i64[]~ -> f64[]~\n" in capsys.readouterr().out


def test_no_command_is_answered_with_the_help(capsys):
    assert main([]) == 2
    assert "python -m gradlab diagnose model.py:loss --args" in capsys.readouterr().err


def test_doctor_and_help_from_a_shell():
    run = [sys.executable, "-m", "gradlab"]
    done = subprocess.run([*run, "doctor"], capture_output=True, text=True)
    assert done.returncode == 0 and "6.0, as it should be" in done.stdout and "jaxlib" in done.stdout
    with pytest.raises(SystemExit):
        main(["--help"])
    with pytest.raises(SystemExit):
        main(["check", "--help"])
