"""Runs the conformance suite of the array API standard against gradlab: `python tests/array_api/run.py PATH_TO_SUITE`.

    python tests/array_api/fetch.py PATH_TO_SUITE
    python -m pip install -r PATH_TO_SUITE/requirements.txt

It tests gradlab.numpy as it is outside a trace; with --traced, each call through a trace of its own (traced.py). Where
the environment variable ARRAY_API_TESTS names a checkout, the path may be left out. What is no option here is pytest's.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent


def skips(traced: bool) -> list[str]:
    """The test ids of skips.txt; those under `#@plain` are not for traced arrays."""
    wanted, found = True, []
    for line in (HERE / "skips.txt").read_text().splitlines():
        if line.startswith("#@"):
            wanted = line == "#@all" or not traced
        elif wanted and line.startswith("array_api_tests"):
            found.append(line)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description="Runs the array API's conformance suite.")
    parser.add_argument("suite", type=Path, help="a checkout of array-api-tests with its submodule; comes first")
    parser.add_argument("--max-examples", type=int, default=5, help="examples for each test (default 5)")
    parser.add_argument("--traced", action="store_true", help="test the tracers")
    parser.add_argument("--jax", action="store_true", help="test jax.numpy itself, to compare")
    parser.add_argument("--all", action="store_true", help="skip nothing")
    words, named = sys.argv[1:], os.environ.get("ARRAY_API_TESTS")
    if named and (not words or words[0].startswith("-")):
        words.insert(0, named)
    given, more = parser.parse_known_args(words)
    for needed in ("array_api_tests", "array-api/src"):
        if not (given.suite / needed).is_dir():
            parser.error(
                f"{given.suite} is no checkout of array-api-tests with its submodule: it has no folder {needed}. "
                "python tests/array_api/fetch.py FOLDER makes one."
            )
    module = "tests.array_api.traced" if given.traced else "jax.numpy" if given.jax else "gradlab.numpy"
    paths = [str(HERE.parent.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "ARRAY_API_TESTS_MODULE": module,
        "JAX_ENABLE_X64": "1",
    }
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "skips.txt"
        listed.write_text("" if given.all else "\n".join(skips(given.traced)) + "\n")
        command = [
            *(sys.executable, "-m", "pytest", "array_api_tests", "-q", "--disable-deadline", "--derandomize"),
            *("-p", "no:cacheprovider", f"--max-examples={given.max_examples}", f"--skips-file={listed}", *more),
        ]
        return subprocess.run(command, cwd=given.suite, env=env, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
