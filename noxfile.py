"""The checks on each supported pair of interpreter and JAX: `nox`, or one session by name, `nox -s oldest`."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.sessions = ["lint", "types", "oldest", "newest"]
nox.options.error_on_missing_interpreters = False

OLDEST_JAX = ("jax==0.10.0", "jaxlib==0.10.0")


def run_tests(session: nox.Session) -> None:
    session.run("python", "-c", "import jax; print('JAX', jax.__version__)")
    session.run("pytest", "-q", "-n", "2", *session.posargs)


@nox.session(python="3.11")
def oldest(session: nox.Session) -> None:
    """The tests on the oldest Python and the oldest JAX."""
    session.install("-e", ".[test]", *OLDEST_JAX)
    run_tests(session)


@nox.session(python=["3.12", "3.13"])
def newest(session: nox.Session) -> None:
    """The tests on the newest JAX that the interpreter can run."""
    session.install("--upgrade", "-e", ".[test]", "jax", "jaxlib")
    run_tests(session)


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """ruff: rules and format."""
    session.install("ruff>=0.12")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """pyright, without a single error."""
    session.install("-e", ".[dev]")
    session.run("pyright")


@nox.session(python="3.11")
def array_api(session: nox.Session) -> None:
    """The array API's conformance suite, cloned unless a checkout is named: `nox -s array_api -- PATH_TO_SUITE`."""
    named = session.posargs[0] if session.posargs else os.environ.get("ARRAY_API_TESTS")
    suite = named or f"{session.create_tmp()}/suite"
    if not named and not Path(suite, "array-api", "src").is_dir():
        session.run("python", "tests/array_api/fetch.py", suite)
    session.install("-e", ".", "-r", f"{suite}/requirements.txt", "pytest-xdist>=3.6")
    session.run("python", "tests/array_api/run.py", suite, "--traced", "-n", "2", *session.posargs[1:])
    session.run("python", "tests/array_api/run.py", suite, "-n", "2", *session.posargs[1:])


@nox.session(python="3.11")
def examples(session: nox.Session) -> None:
    """Each example, without a display."""
    session.install("-e", ".[examples]")
    for script in sorted(Path("examples").glob("*.py")):
        session.run("python", str(script), env={"MPLBACKEND": "Agg"})


@nox.session(python="3.11")
def bench(session: nox.Session) -> None:
    """gradlab beside its peers: `nox -s bench`; writes benchmarks/results/."""
    session.install("-e", ".[examples,bench]")
    for script in ("engine", "language", "loops", "optim", "tape"):
        session.run("python", f"benchmarks/{script}.py", *session.posargs)
