"""Planted faults, each with the line to blame marked; `diagnose` (or `check_grads`) must name that line."""

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


def nested_dead_branch(x):
    ratio = x / (x - x)  # fault
    inner = gnp.where(x > 100, ratio, 0.0)
    return gnp.sum(gnp.where(x > 200, inner, x))


def naive_log_softmax(z):
    e = gnp.exp(1e4 * z)  # fault
    p = e / e.sum()
    return -gnp.log(p[0])


def exploding_in_a_scan(w, xs):
    def step(h, x):
        h = gnp.maximum(w @ h + x, 0.0)
        return h, h.sum()

    _, sums = gl.scan(step, gnp.zeros(5), xs)  # fault
    return sums[-1]


def backwards_in_a_scan(x):
    def step(c, _):
        return c + 1.0, gnp.sqrt(gnp.abs(c - 3.0))  # fault

    return gl.scan(step, x, None, length=5)[1].sum()


def masked_row(q, k):
    scores = gnp.where(np.array([[True, True], [False, False]]), q @ k.T, -gnp.inf)
    shifted = scores - scores.max(axis=1, keepdims=True)  # fault
    e = gnp.exp(shifted)
    return (e / e.sum(axis=1, keepdims=True)).sum()


def constant_feature(x):
    centred = x - x.mean(axis=0)
    z = centred / x.std(axis=0)  # fault
    return (z**3).sum()


def half_precision(x):
    h = x.astype(np.float16)
    square = h * h  # fault
    return square.mean().astype(np.float32)


def by_floor_division(x):
    n = x // 2.0  # fault
    return (n * n).sum()


def dead_layer(layers, x):
    for w, b in layers:
        x = gnp.maximum(x @ w + b, 0.0)  # fault
    return (x**2).sum()


def order_only(x):
    order = gnp.argsort(x)  # fault
    return (order * 1.0).sum()


def as_a_python_number(x):
    scale = float(x.sum())  # fault
    return scale * 2.0 + 0.0 * x[0]


def in_a_while_loop(x):
    def body(state):
        v, k = state
        return gnp.log(v), k + 1  # fault

    return gl.while_loop(lambda s: s[1] < 5, body, (x, 0))[0]


def in_a_branch(x):
    def taken(v):
        return gnp.log(v - v.max()).sum()  # fault

    return gl.cond(x.sum() > -100, taken, lambda v: v.sum(), x)


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
    "nested_dead_branch": (nested_dead_branch, (V,), "hidden"),
    "naive_log_softmax": (naive_log_softmax, (np.array([-1.0, 2.0]),), "non-finite"),
    "exploding_in_a_scan": (exploding_in_a_scan, (2 * np.abs(M), np.ones((60, 5))), "exploding"),
    "backwards_in_a_scan": (backwards_in_a_scan, (1.0,), "non-finite"),
    "masked_row": (masked_row, (M[:2], M[1:3]), "non-finite"),
    "constant_feature": (constant_feature, (np.stack([V, np.ones(5)], 1),), "non-finite"),
    "half_precision": (half_precision, (np.float32([300.0, 2.0]),), "non-finite"),
    "by_floor_division": (by_floor_division, (5 * V,), "zero"),
    "dead_layer": (dead_layer, ([(M, V), (M, V - 100), (M, 0 * V)], np.abs(M)), "zero"),
    "order_only": (order_only, (V,), "zero"),
    "as_a_python_number": (as_a_python_number, (V,), "zero"),
    "in_a_while_loop": (in_a_while_loop, (20.0,), "non-finite"),
    "in_a_branch": (in_a_branch, (V,), "non-finite"),
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


def test_arguments_with_one_reason_are_told_together():
    (found,) = gl.diagnose(lambda p, x: (x**2).sum())({"w": V, "b": V}, V).findings
    assert found.message == "the gradients of p['b'], p['w'] are zero: the function never uses them."


def test_values_go_by_the_names_of_the_user():
    said = str(gl.diagnose(masked_row)(*FAULTS["masked_row"][1]))
    assert "of scores[1, 0] = -inf and" in said and "shifted[" not in said


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


def test_arguments_by_name_keys_and_modules():
    said = gl.diagnose(lambda key, *, x: (gl.random.normal(key, (4,)) * x).sum())(jax.random.key(0), x=np.ones(4))
    assert "the gradient of x: " in str(said) and not said
    model = jax.tree_util.Partial(lambda w, x, act: act(w * x), V, act=gnp.tanh)
    assert not gl.diagnose(lambda m, x: m(x).sum())(model, V)
    said = str(gl.diagnose(lambda m, x: m["act"](m["w"] * x).sum())({"w": V, "act": gnp.tanh}, V))
    assert "the gradient of m['w']: " in said and "the gradient of x: " in said


def test_empty_arrays_are_no_finding():
    assert "the gradient of x: empty" in str(gl.diagnose(lambda x: (x**2).sum())(np.zeros((0, 3))))


def test_integer_results_are_refused():
    with pytest.raises(StructureError, match="real or complex results"):
        gl.diagnose(lambda x: gnp.argmax(x))(V)


def partly_dead(w, b, x):
    h = gnp.maximum(x @ w + b, 0.0)  # fault
    return ((h - 1.0) ** 2).mean()


def partly_taken(x):
    y = gnp.where(x > 0, x**2, 1.0)  # fault
    return (y * 2.0).sum()


def partly_flat(x):
    y = gnp.tanh(100.0 * x)  # fault
    return y.sum()


def partly_masked(x):
    y = x * np.array([1.0, 0.0, 1.0, 0.0, 0.0])  # fault
    return y.sum()


def partly_dead_in_a_scan(w, xs):
    def step(h, x):
        h = gnp.maximum(w @ h + x, 0.0)  # fault
        return h, h

    return (gl.scan(step, gnp.zeros(3), xs)[1] ** 2).sum()


def partly_dead_in_a_while_loop(w, b, x):
    def body(s):
        h, k = s
        h = gnp.maximum(w @ h + b, 0.0)  # fault
        return h, k + 1

    h, _ = gl.while_loop(lambda s: s[1] < 4, body, (x, 0))
    return (h**2).sum()


PARTS = {
    "partly_dead_in_a_while_loop": (
        partly_dead_in_a_while_loop,
        (0.4 * np.ones((3, 3)), np.array([0.1, -50.0, 0.2]), np.ones(3)),
        "a part of the gradients of w (3 of 9 numbers), b (1 of 3 numbers) is zero",
        "0.0 wins the maximum in 4 of 12 numbers",
    ),
    "partly_dead_in_a_scan": (
        partly_dead_in_a_scan,
        (np.ones((3, 3)), np.array([1.0, -50.0, 1.0]) + np.zeros((4, 3))),
        "a part of the gradients of w (5 of 9 numbers), xs (4 of 12 numbers) is zero",
        "0.0 wins the maximum in 4 of 12 numbers",
    ),
    "partly_dead": (
        partly_dead,
        (np.ones((2, 3)), np.array([0.0, -50.0, 0.0]), np.ones((4, 2))),
        "a part of the gradients of w (2 of 6 numbers), b (1 of 3 numbers) is zero",
        "0.0 wins the maximum in 4 of 12 numbers",
    ),
    "partly_taken": (partly_taken, (np.array([1.0, -1.0, 2.0]),), "of x is zero in 1 of 3", "takes the other branch"),
    "partly_flat": (partly_flat, (np.array([0.01, -1.0, 2.0]),), "of x is zero in 2 of 3", "the slope of `tanh`"),
    "partly_masked": (partly_masked, (V,), "of x is zero in 3 of 5 numbers", "the factor"),
}


@pytest.mark.parametrize("name", PARTS)
def test_what_thins_a_gradient_is_named(name):
    f, args, said, why = PARTS[name]
    (found,) = [one for one in gl.diagnose(f)(*args).findings if one.kind == "partly zero"]
    assert found.line == line_of_fault(f) and said in found.message and why in found.message


def test_the_maximum_that_a_softmax_subtracts_does_not_vanish():
    def loss(w, x):
        z = x @ w
        z = z - gnp.max(z, axis=1, keepdims=True)
        return -(z - gnp.log(gnp.exp(z).sum(axis=1, keepdims=True)))[:, 0].mean()

    said = gl.diagnose(loss)(RNG.standard_normal((4, 3)).astype(np.float32), np.float32(RNG.standard_normal((6, 4))))
    assert not said, str(said)


def test_units_that_are_all_dead_in_a_loop_have_their_line():
    (found,) = gl.diagnose(partly_dead_in_a_while_loop)(M[:3, :3], -50 * np.ones(3), np.ones(3)).findings
    assert found.kind == "zero" and found.line == line_of_fault(partly_dead_in_a_while_loop)


def test_what_is_never_read_is_no_fault():
    rows = gl.diagnose(lambda table, i: (table[i] ** 2).sum())(RNG.standard_normal((5, 2)), np.array([1, 3]))
    assert not rows and "the gradient of table: " in str(rows) and "zero in 6 of 10 numbers" in str(rows)


class Layer:
    def __init__(self, w, b):
        self.w, self.b = w, b

    def __call__(self, x):
        return (gnp.maximum(x @ self.w + self.b, 0.0) ** 2).sum()

    def loss(self, x, y):
        return (self(x) - y) ** 2


jax.tree_util.register_pytree_node(Layer, lambda one: ((one.w, one.b), None), lambda _, held: Layer(*held))


def test_models_are_arguments_and_functions():
    layer, x = Layer(np.ones((3, 2)), np.array([0.5, -90.0])), V[:3] ** 2
    said = str(gl.diagnose(layer)(x))
    assert "the gradient of self.w: " in said and "the gradient of self.b: " in said and "the gradient of x: " in said
    assert "self.w (3 of 6 numbers), self.b (1 of 2 numbers)" in said
    assert "the gradient of m.w: " in str(gl.diagnose(lambda m, x: m(x))(layer, x))
    assert "the gradient of self.w: " in str(gl.diagnose(layer.loss)(x, 1.0))
    gl.check_grads(layer, (x,), order=1)
    gl.check_grads(lambda m, x: m(x), (layer, x), order=1)
    assert "def Layer(x, " in gl.source(layer)(x) and "_w, " in gl.source(layer)(x)
    assert gl.cost(layer)(x).flops > 0 and "maximum" in gl.draw(layer)(x).svg


def test_equinox_modules():
    eqx = pytest.importorskip("equinox", reason="needs Equinox: pip install equinox")
    model = eqx.nn.MLP(3, 1, 4, 1, key=jax.random.key(0))
    x = V[:3]
    said = str(gl.diagnose(lambda m, x: m(x).sum())(model, x))
    assert "the gradient of m.layers[0].weight: " in said and "m.layers[1].bias" in said
    assert "the gradient of self.layers[1].weight: " in str(gl.diagnose(model)(x))
    gl.check_grads(lambda m, x: m(x).sum(), (model, x), order=1)
    page = gl.report(lambda m, x: (m(x) ** 2).sum())(model, x).html
    assert "m.layers[0].weight" in page and "m_layers_0_weight_bar" in page


def test_a_gradient_that_is_mostly_zero_is_told():
    assert "in norm, zero in 4 of 5 numbers" in str(gl.diagnose(lambda w: (w * V)[0] ** 2)(V))
