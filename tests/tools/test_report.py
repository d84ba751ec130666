"""The page about a function: complete in itself, well-formed, with every section, the user's text escaped."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError
from gradlab.tools.reading import read
from gradlab.tools.slopes import curves
from tests.tools.test_source import PROGRAMS, network

VOID = {"meta", "rect", "path", "br", "use", "hr", "link"}


class Balanced(HTMLParser):
    """Every tag that opens closes, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.titles, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        assert tag != "script" and not any(name in ("src", "onload") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if self.open and self.open[-1] == "h2":
            self.titles.append(data)


def test_the_page_is_complete(tmp_path):
    page = gl.report(network)(*PROGRAMS["network"][1])
    parser = Balanced()
    parser.feed(page.html)
    assert not parser.open and len(parser.titles) == 6
    assert "h = gnp.tanh(x @ w)" in parser.text and "logits_bar = " in parser.text and "FLOPs" in parser.text
    assert "nothing conspicuous" in str(page.diagnosis)
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == page.html
    with pytest.raises(ArgumentError, match=r"\.html"):
        page.save(tmp_path / "page.pdf")


def test_names_are_escaped():
    page = gl.report(lambda x: gnp.where(x > 0, gnp.log(x), 0.0))(0.5)  # <b>bold</b>
    assert "<lambda>" not in page.html and "&lt;b&gt;bold" in page.html


def test_the_tangent_is_that_of_the_curve():
    program = read(lambda x, n: (x**3).sum() * n, (np.array([1.0, 2.0]), 3), {}, "report")
    assert program.names == ["x"] and program.places == (0,)
    for one in curves(program.graph, program.inputs, program.active):
        middle = len(one.steps) // 2
        assert one.values[middle] == 27.0
        np.testing.assert_allclose(one.slope, one.difference, rtol=1e-8)


def test_of_an_argument_by_name():
    page = gl.report(lambda *, x: (x**2).sum())(x=np.ones(2))
    assert "x: f64[2]" in page.html and "jvp" in page.html


def test_of_several_results_the_sum_is_looked_at():
    page = gl.report(lambda x: {"a": gnp.fft.fft(x), "b": x > 0, "c": x**2})(np.array([1.0, 2.0, 3.0]))
    assert "(the sum of what it returns)" in page.html and "x_bar" in page.html


def test_arguments_are_told_with_their_own_types():
    page = gl.report(lambda n, w: (w * n).sum())(np.arange(2), np.ones(2))
    assert "<p>at w: f64[2]</p>" in page.html
