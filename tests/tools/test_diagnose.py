"""Twenty planted faults, each with the line to blame marked; `diagnose` (or `check_grads`) must name that line."""

from __future__ import annotations

import inspect

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import StructureError

RNG = np.random.default_rng(3)
V = RNG.standard_normal(5)
P = np.array([0.5, 0.2, 0.3, 0.0])


def log_of_zero(p):
    q = p / p.sum()
    logs = gnp.log(q)  # fault
    return (q * logs).sum()


def zero_over_zero(x):
    n = x - x.mean()
    scale = gnp.sum(n * 0.0)
    z = n / scale  # fault
    return (z**2).sum()


def overflow(x):
    y = gnp.exp(1000.0 * x)  # fault
    return (y / y.sum()).max()


def root_of_negative(x):
    y = gnp.sqrt(x - 1.0)  # fault
    return y.sum()


def slope_of_root(x):
    d = (x - x).sum()
    return gnp.sqrt(gnp.abs(d) + x[0] * 0.0) + gnp.power(x[0] - x[0], 0.5)  # fault


def dead_branch(x):
    safe = gnp.where(x > 0, gnp.log(x), 0.0)  # fault
    return safe.sum()


def held_constant(w, x):
    target = gl.stop_gradient(w @ x)  # fault
    return (target**2).sum()


def as_integers(x):
    levels = x.astype(int)  # fault
    return (levels * 2.0).sum()


def by_rounding(x):
    grid = gnp.round(x * 10.0)  # fault
    return (grid / 10.0).sum()


def by_comparison(x):
    hits = gnp.sum(x > 0.5)  # fault
    return hits / 5.0


def forgotten(w, b, x):
    return ((w * x) ** 2).sum()


def never_reached(w, x):
    unused = w * x  # fault
    return (x**2).sum() + 0.0 * unused.shape[0]


def other_branch(x):
    y = gnp.where(x > 100.0, x**2, 1.0)  # fault
    return y.sum()


def dead_units(w, x):
    h = gnp.maximum(w @ x - 100.0, 0.0)  # fault
    return h.sum() + 1.0


def saturated_units(w, x):
    h = gnp.tanh(100.0 + w @ x)  # fault
    return (h**2).sum()


def zero_factor(w, x):
    mask = gnp.zeros(5)
    y = w * mask  # fault
    return (y + x).sum()


def picked_by_index(x):
    best = gnp.argmax(x)  # fault
    return best * 1.0


def exploding(w, x):
    def step(h, _):
        return w @ h, None

    h, _ = gl.scan(step, x, None, length=60)  # fault
    return h.sum()


def vanishing(w, x):
    h = x
    for _ in range(12):
        h = gnp.tanh(0.01 * (w @ h))  # fault
    return h.sum()


def bad_turn(x):
    def step(c, k):
        c = c - 1.0
        return c, gnp.log(c)  # fault

    return gl.scan(step, x, gnp.arange(6.0))[1].sum()


def cancelling(x):
    moment = gnp.mean(x**2)
    spread = moment - gnp.mean(x) ** 2  # fault
    return spread


@gl.custom_jvp
def wrong_rule(x):
    return gnp.sin(x)


@wrong_rule.defjvp
def _(primals, tangents):
    return gnp.sin(primals[0]), gnp.sin(primals[0]) * tangents[0]


def by_wrong_rule(x):
    y = x**2
    z = wrong_rule(y)  # fault
    return z.sum()


M = np.eye(5) + 0.1 * RNG.standard_normal((5, 5))
FAULTS = {
    "log_of_zero": (log_of_zero, (P,), "non-finite"),
    "zero_over_zero": (zero_over_zero, (V,), "non-finite"),
    "overflow": (overflow, (np.abs(V) + 1,), "non-finite"),
    "root_of_negative": (root_of_negative, (np.array([2.0, 0.5]),), "non-finite"),
    "slope_of_root": (slope_of_root, (V,), "non-finite"),
    "dead_branch": (dead_branch, (np.array([1.0, -2.0]),), "hidden"),
    "held_constant": (held_constant, (M, V), "zero"),
    "as_integers": (as_integers, (V,), "zero"),
    "by_rounding": (by_rounding, (V,), "zero"),
    "by_comparison": (by_comparison, (V,), "zero"),
    "never_reached": (never_reached, (V, V), "zero"),
    "other_branch": (other_branch, (V,), "zero"),
    "dead_units": (dead_units, (M, V), "zero"),
    "saturated_units": (saturated_units, (M, V), "saturated"),
    "zero_factor": (zero_factor, (V, V), "zero"),
    "picked_by_index": (picked_by_index, (V,), "zero"),
    "exploding": (exploding, (3 * M, V), "exploding"),
    "vanishing": (vanishing, (M, V), "vanishing"),
    "bad_turn": (bad_turn, (4.5,), "non-finite"),
    "cancelling": (cancelling, (np.float32(1e4 + V),), "rounding"),
}


def line_of_fault(f):
    lines, start = inspect.getsourcelines(f)
    return start + next(k for k, line in enumerate(lines) if "# fault" in line)


@pytest.mark.parametrize("name", FAULTS)
def test_the_line_to_blame_is_named(name):
    f, args, kind = FAULTS[name]
    said = gl.diagnose(f)(*args)
    found = [one for one in said.findings if one.kind == kind]
    assert found, str(said)
    assert line_of_fault(f) in [one.line for one in found], str(said)
    assert f"line {line_of_fault(f)}" in str(said)


def test_a_wrong_rule_is_found_by_check_grads():
    with pytest.raises(AssertionError, match=f":{line_of_fault(by_wrong_rule)}"):
        gl.check_grads(by_wrong_rule, (V,), order=1)


def test_a_forgotten_argument():
    said = gl.diagnose(forgotten)(V, np.float64(1.0), V)
    (found,) = said.findings
    assert found.leaf == "b" and "never uses b" in found.message


def test_the_turn_of_the_loop_is_said():
    assert "turn 4 of 6" in str(gl.diagnose(bad_turn)(4.5))


def test_under_jit_and_with_a_healthy_function():
    assert gl.diagnose(gl.jit(log_of_zero))(P).findings[0].line == line_of_fault(log_of_zero)
    assert not gl.diagnose(lambda w, x: (gnp.tanh(w @ x) ** 2).sum())(M, V)
    assert "nothing conspicuous" in str(gl.diagnose(lambda x: (x**2).sum())(V))


def test_what_has_no_derivative_is_refused():
    with pytest.raises(StructureError, match="no real or complex"):
        gl.diagnose(lambda n: n * 2)(3)


def test_results_of_any_kind():
    said = gl.diagnose(lambda x: {"a": gnp.fft.fft(x), "b": gnp.log(x)})(jax.numpy.abs(V))
    assert not said
