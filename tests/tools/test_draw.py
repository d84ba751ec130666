"""Drawings: well-formed, every box where no other is, edges downwards, loops inside their boxes, residuals marked."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import ArgumentError
from gradlab.tools.layers import laid_out
from tests.tools.test_source import PROGRAMS, network, recurrent

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["network", "recurrent", "likelihood", "network hvp"])
@pytest.mark.parametrize("together", [False, True])
def test_is_well_formed_and_says_what_it_shows(name, together):
    f, args = PROGRAMS[name]
    drawing = gl.draw(f, together=together)(*args)
    root = ElementTree.fromstring(drawing.svg)
    boxes = [g for g in root.iter(f"{SVG}g") if g.get("class") == "part"]
    assert all(g.find(f"{SVG}title").text for g in boxes)
    graph = gl.stage(f)(*args)
    assert len(boxes) >= len(graph.inputs) + (1 if together else 4)


def test_lines_share_a_box_and_cotangents_have_their_names():
    text = gl.draw(gl.grad(network), together=True)(*PROGRAMS["network"][1]).svg
    assert "h: f64[6,3]" in text and "logits_bar: f64[6,3]" in text and "params_0_bar: f64[4,3]" in text
    assert text.count('class="edge residual"') == 6
    single = gl.draw(gl.grad(network), together=False)(*PROGRAMS["network"][1]).svg
    assert single.count("<rect") > text.count("<rect")


def test_loops_are_boxes_around_their_bodies():
    root = ElementTree.fromstring(gl.draw(gl.grad(recurrent))(*PROGRAMS["recurrent"][1]).svg)
    outer = [g for g in root.iter(f"{SVG}g") if g.get("class") == "part" and g.find(f"{SVG}g") is not None]
    assert len(outer) == 2
    for g in outer:
        assert "scan × 5" in "".join(g.itertext())
        assert any("tanh" in "".join(inner.itertext()) for inner in g.iter(f"{SVG}g") if inner is not g)


def test_no_box_covers_another_and_edges_run_down():
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = int(rng.integers(2, 25))
        sizes = [(float(w), float(h)) for w, h in rng.uniform(10, 90, (n, 2))]
        edges = list({(int(min(p)), int(max(p))) for p in rng.integers(0, n, (2 * n, 2)) if p[0] != p[1]})
        layout = laid_out(sizes, edges)
        boxes = [(x - w / 2, y, x + w / 2, y + h) for (x, y), (w, h) in zip(layout.centres, sizes, strict=True)]
        for a, b in itertools.combinations(boxes, 2):
            assert a[2] <= b[0] + 1e-9 or b[2] <= a[0] + 1e-9 or a[3] <= b[1] + 1e-9 or b[3] <= a[1] + 1e-9
        assert all(x0 >= -1e-9 and x1 <= layout.width + 1e-9 and y1 <= layout.height + 1e-9 for x0, _, x1, y1 in boxes)
        for path in layout.paths:
            assert all(a[1] <= b[1] for a, b in itertools.pairwise(path))


def test_saving_and_notebooks(tmp_path):
    drawing = gl.draw(lambda x: gnp.sin(x) < 0.5)(1.0)
    drawing.save(tmp_path / "f.html")
    assert "cotangent" in (tmp_path / "f.html").read_text() and "&lt;lambda&gt;" in (tmp_path / "f.html").read_text()
    drawing.save(tmp_path / "f.svg")
    assert drawing._repr_html_() == (tmp_path / "f.svg").read_text()
    with pytest.raises(ArgumentError, match="html"):
        drawing.save(tmp_path / "f.png")


def test_what_nobody_can_read_is_refused():
    kinds = np.random.default_rng(0).integers(0, 3, 600)

    def f(x):
        for kind in kinds:
            x = (gnp.sin, gnp.cos, gnp.tanh)[kind](x)
        return x

    with pytest.raises(ArgumentError, match="gl.scan"):
        gl.draw(f, together=False)(1.0)
    assert ElementTree.fromstring(gl.draw(f, together=True)(1.0).svg).tag == f"{SVG}svg"


def test_turns_of_a_python_loop_are_boxes_of_their_own():
    def layers(ws, x):
        for w in ws:
            x = gnp.tanh(x @ w + 1.0)
        return x.sum()

    svg = gl.draw(gl.grad(layers), together=True)([np.eye(3)] * 3, np.ones(3)).svg
    for k in range(3):
        assert sum(f">ws_{k}_bar: f64[3,3]" in row for row in svg.split("<text")) == 1
    assert svg.count("broadcast, add, tanh<") + svg.count("add, tanh<") >= 3


def test_what_a_loop_closes_over_keeps_its_name():
    def f(w, x):
        return gl.scan(lambda h, _: (gnp.tanh(w @ h), None), x, None, length=3)[0].sum()

    assert gl.draw(f)(np.eye(2), np.ones(2)).svg.count(">w: f64[2,2]<") == 2
