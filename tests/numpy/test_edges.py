"""Derivatives at awkward points are what docs/edges.md says, finite unless it says why, and the same in every mode."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from tests.numpy import edges
from tests.support import assert_close


@pytest.fixture(scope="module")
def answers():
    return edges.ours()


def test_the_page_is_true(answers):
    """Where it should not be: `python -m tests.numpy.edges` writes the tables anew."""
    wrong = [
        f"{row.text} at {row.at}: page {said[2:]}, computed {edges.cells(row, found)[2:]}"
        for row, found, said in zip(edges.ROWS, answers, edges.promised(), strict=True)
        if edges.cells(row, found) != said
    ]
    assert not wrong, "\n".join(wrong)


def test_finite_unless_there_is_a_reason(answers):
    for row, found in zip(edges.ROWS, answers, strict=True):
        finite = np.isfinite(found.gradient).all() and np.isfinite(found.second).all()
        assert finite != bool(row.why), f"{row.text} at {row.at}: {found.gradient}, {found.second}"


def test_forward_mode_agrees(answers):
    for row, found in zip(edges.ROWS, answers, strict=True):
        if not row.why and not np.isnan(found.value).any():
            along = np.sum(found.gradient * np.arange(1.0, 1 + found.gradient.size).reshape(found.gradient.shape))
            assert_close(found.along, along, 1e-12, f"{row.text} at {row.at}")


def test_second_derivatives_are_symmetric(answers):
    for row, found in zip(edges.ROWS, answers, strict=True):
        if found.second.ndim == 2 and not row.why:
            assert_close(found.second, found.second.T, 1e-12, f"{row.text} at {row.at}")


def test_sinc_to_the_fourth_order():
    f, found = gnp.sinc, []
    for _ in range(5):
        found.append(float(f(0.0)))
        f = gl.grad(f)
    assert_close(found, [1, 0, -(math.pi**2) / 3, 0, math.pi**4 / 5], 1e-12, "sinc at 0")
