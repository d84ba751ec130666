"""Clones the conformance suite at the commit that our numbers are of: `python tests/array_api/fetch.py FOLDER`.

The suite is in no package registry. Where GitHub cannot be reached, this says so and how to run the suite all the same,
and ends with status 3; whether that is an error is for the caller to say.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

URL = "https://github.com/data-apis/array-api-tests"
COMMIT = "55fcc60179efa2680ddd6cd926ddf17b83530e2b"  # 2026-04-03
LIMIT = 30.0  # [s] for each of git's steps
UNREACHABLE = 3


class NotFetchedError(Exception):
    """The suite did not come: git's words, and what to do."""


def _git(folder: Path, *words: str) -> None:
    # git's complaint goes to a file: a helper that outlives git's end at the limit would keep a pipe open.
    with tempfile.TemporaryFile("w+") as said:
        try:
            subprocess.run(
                ["git", "-C", str(folder), *words],
                env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                timeout=LIMIT,
                check=True,
            )
        except subprocess.TimeoutExpired:
            reason = f"no answer within {LIMIT:.0f} s"
        except FileNotFoundError:
            reason = "there is no git here"
        except subprocess.CalledProcessError:
            said.seek(0)
            reason = " ".join(said.read().split()) or "git gave no reason"
        else:
            return
    raise NotFetchedError(
        f"The array API's conformance suite could not be fetched from {URL} (git {words[0]}: {reason}). To run it, "
        f"bring a checkout of commit {COMMIT[:12]} with its submodule, install its requirements.txt, and name it: "
        "ARRAY_API_TESTS=CHECKOUT python tests/array_api/run.py --traced"
    )


def fetch(folder: Path) -> None:
    """`folder` becomes a checkout of the suite with its submodule, the standard itself."""
    folder.mkdir(parents=True, exist_ok=True)
    _git(folder, "init", "--quiet")
    _git(folder, "fetch", "--quiet", "--depth=1", URL, COMMIT)
    _git(folder, "checkout", "--quiet", "--detach", "FETCH_HEAD")
    _git(folder, "submodule", "--quiet", "update", "--init", "--depth=1")


def main() -> int:
    parser = argparse.ArgumentParser(description="Clones the array API's conformance suite.")
    parser.add_argument("folder", type=Path, help="where to put it; made if need be")
    try:
        fetch(parser.parse_args().folder)
    except NotFetchedError as error:
        print(error, file=sys.stderr)
        return UNREACHABLE
    return 0


if __name__ == "__main__":
    sys.exit(main())
