"""The pages opened in a headless browser: nothing on its console, every word inside its box, something to see."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import NamedTuple

import numpy as np
import pytest

import gradlab as gl
from tests.tools.test_source import PROGRAMS, recurrent

image = pytest.importorskip("matplotlib.image", reason="reading a screenshot needs Matplotlib: pip install matplotlib")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
WIDTH, HEIGHT = 1280, 2400
pytestmark = pytest.mark.skipif(
    BROWSER is None,
    reason=f"needs a browser on PATH ({', '.join(BROWSERS)}): install Chromium, e.g. apt-get install chromium",
)

# Runs when the page is drawn, and leaves in it what the browser makes of the page.
MEASURE = """<script>
window.addEventListener("load", () => {
  const within = (a, b) => a.left > b.left - 1 && a.right < b.right + 1 && a.top > b.top - 1 && a.bottom < b.bottom + 1;
  const parts = [...document.querySelectorAll("g.part")];
  const spilt = parts.flatMap(part => {
    const box = part.querySelector(":scope > rect").getBoundingClientRect();
    const inside = [...part.querySelectorAll(":scope > text, :scope > g > g.part > rect")];
    return inside.filter(one => !within(one.getBoundingClientRect(), box)).map(one => one.textContent);
  });
  const drawings = [...document.querySelectorAll("svg")].map(one => one.getBoundingClientRect());
  const told = document.createElement("script");
  told.type = "application/json";
  told.id = "measured";
  told.textContent = JSON.stringify({
    spilt: spilt, parts: parts.length, titles: [...document.querySelectorAll("h2")].map(one => one.textContent),
    drawings: drawings.map(one => [one.width, one.height]), wide: document.documentElement.scrollWidth,
  });
  document.body.appendChild(told);
});
</script>"""


class Opened(NamedTuple):
    """What a browser made of a page: the document after its scripts, what they said, what it looks like."""

    measured: dict
    dom: str
    console: list[str]
    pixels: np.ndarray

    @property
    def ink(self) -> np.ndarray:
        """Which pixels are not of the colour of the corner."""
        return np.abs(self.pixels - self.pixels[0, 0]).max(axis=2) > 0.05


def opened(page, folder):
    path, shot = folder / "page.html", folder / "page.png"
    path.write_text(page.replace("</body>", f"{MEASURE}</body>"))
    assert BROWSER is not None
    done = subprocess.run(
        [
            BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--enable-logging=stderr", f"--user-data-dir={folder / 'profile'}", f"--window-size={WIDTH},{HEIGHT}",
            "--force-device-scale-factor=1", "--dump-dom", f"--screenshot={shot}", path.as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = re.search(r'id="measured">(.*?)</script>', done.stdout, re.DOTALL)
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert found, f"the page's scripts did not run: {console}"
    return Opened(json.loads(found[1]), done.stdout, console, image.imread(shot)[..., :3])


def test_errors_would_be_seen(tmp_path):
    broken = "<html><body><p>here</p><script>console.error('boom'); undefined.x</script></body></html>"
    assert sum("boom" in line or "TypeError" in line for line in opened(broken, tmp_path).console) == 2


def test_a_report(tmp_path):
    page = opened(gl.report(recurrent)(*PROGRAMS["recurrent"][1]).html, tmp_path)
    assert page.console == []
    seen = page.measured
    assert len(seen["titles"]) == 6 and seen["wide"] <= WIDTH  # what is wider scrolls in its own box
    assert seen["spilt"] == [] and seen["parts"] >= 10
    assert len(seen["drawings"]) == 2 and all(w > 300 and h > 100 for w, h in seen["drawings"])
    assert "tanh" in page.dom and page.ink.mean() > 0.02
    # Each of the twelve stripes of the page down to its end has something in it.
    stripes = np.array_split(page.ink[: int(np.flatnonzero(page.ink.any(axis=1))[-1])], 12)
    assert all(stripe.any() for stripe in stripes)


def test_a_drawing(tmp_path):
    page = opened(gl.draw(gl.hessian(recurrent))(*PROGRAMS["recurrent"][1]).html, tmp_path)
    assert page.console == [] and page.measured["spilt"] == []
    # Blue computes the value, orange goes backwards, red edges are residuals: all three are to be seen.
    for colour in ((0x25, 0x63, 0xEB), (0xEA, 0x58, 0x0C), (0xDC, 0x26, 0x26)):
        near = np.abs(page.pixels - np.array(colour) / 255).max(axis=2) < 0.1
        assert near.sum() > 50, colour
