"""README.md tells the truth: each `python` block runs, after those before it, and prints the `text` block under it.

So does CONTRIBUTING.md: what it quotes from a file stands there, word for word.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```\n(?:\n?```text\n(.*?)^```$)?", README, flags=re.M | re.S)

# Blocks run as a reader would run them, one after the other in one fresh interpreter, with JAX as it is by default.
RUNNER = """
import contextlib, io, json, sys
scope, printed = {}, []
for block in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(block, "<README>", "exec"), scope)
    printed.append(out.getvalue())
json.dump(printed, sys.stdout)
"""

QUOTES = re.findall(
    r"^<!-- in: (\S+) -->\n```python\n(.*?)^```$", (ROOT / "CONTRIBUTING.md").read_text(), flags=re.M | re.S
)


@pytest.fixture(scope="module")
def printed() -> list[str]:
    blocks = json.dumps([code for code, _ in BLOCKS])
    command = [sys.executable, "-c", RUNNER]
    done = subprocess.run(command, input=blocks, capture_output=True, text=True, timeout=600, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def as_shown(text: str) -> list[str]:
    """Without what a reader cannot see: blanks at the ends of lines, blank lines at the end."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_there_are_blocks():
    assert len(BLOCKS) >= 3


@pytest.mark.parametrize("i", range(len(BLOCKS)))
def test_block_prints_what_it_says(printed, i):
    assert as_shown(printed[i]) == as_shown(BLOCKS[i][1])


@pytest.mark.parametrize("name", ["main", "tests"])
def test_the_two_commands_can_be_extracted(name):
    """As .ci/run does: the one line of the fenced block right after the mark."""
    found = re.findall(rf"^<!-- command: {name} -->\n```\w*\n(.+)\n```$", README, flags=re.M)
    assert len(found) == 1


def test_no_number_is_left_to_fill_in():
    assert "TODO" not in README
    for mark in re.findall(r"<!-- (bench:\w+) -->", README):
        inside = README.split(f"<!-- {mark} -->")[1].split(f"<!-- /{mark} -->")[0]
        assert re.search(r"\d", inside), f"the table {mark} is empty: run benchmarks/engine.py --readme"


@pytest.mark.parametrize("path, quoted", QUOTES, ids=[path for path, _ in QUOTES])
def test_contributing_quotes_the_code(path, quoted):
    assert quoted in (ROOT / path).read_text()
