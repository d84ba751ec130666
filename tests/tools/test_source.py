"""`source`: what it prints runs with jax alone, gives the same bits, reads well, and is laid out as formatters do."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import jax
import numpy as np
import pytest

import gradlab as gl
import gradlab.numpy as gnp
from gradlab.ir.errors import StructureError

RNG = np.random.default_rng(7)
X, Y = RNG.standard_normal((6, 4)), RNG.integers(0, 3, 6)
W, B = RNG.standard_normal((4, 3)), RNG.standard_normal(3)
S = RNG.standard_normal((5, 3))
SPD = np.eye(3) * 3 + np.ones((3, 3))


def network(params, x, labels):
    w, b = params
    h = gnp.tanh(x @ w)
    logits = h + b
    logp = logits - gnp.log(gnp.exp(logits).sum(axis=1, keepdims=True))
    return -gnp.mean(gnp.take_along_axis(logp, labels[:, None], axis=1))


def recurrent(w, xs):
    def step(h, x):
        h = gnp.tanh(w @ h + x)
        return h, h

    last, hs = gl.scan(step, xs[0], xs)
    return (hs**2).sum() + last[0]


def newton(a):
    def improve(state):
        x, _ = state
        return x - (x**3 - a) / (3.0 * x**2), x

    root, _ = gl.while_loop(lambda s: gnp.abs(s[0] - s[1]) > 1e-12, improve, (a, 2.0 * a))
    return root


def branches(x):
    return gl.cond(x.sum() > 0, lambda v: gnp.sin(v).sum(), lambda v: (v * v).sum(), x)


def likelihood(k, y):
    chol = gnp.linalg.cholesky(k)
    alpha = gnp.linalg.solve(k, y)
    return 0.5 * y @ alpha + gnp.log(gnp.diag(chol)).sum()


def long_chain(x):
    for k in range(30):
        x = gnp.sin(x) * x + k
    return x.sum()


def polynomial(x, y):
    return x * x * y + y + 2


def spectrum(x):
    power = gnp.abs(gnp.fft.rfft(x)) ** 2
    return gnp.log1p(power).sum()


def ranks(x):
    ordered = gnp.sort(x)
    return (ordered * gnp.cumsum(ordered)).max()


def smooth(x):
    inner = x[:-2] / 4 + x[1:-1] / 2 + x[2:] / 4
    return gnp.maximum(inner, 0.0) @ inner


def hvp(params, direction, x, labels):
    return gl.jvp(gl.grad(lambda p: network(p, x, labels)), (params,), (direction,))


V = RNG.standard_normal(8)
scale = np.array([1.0, 2.0, 3.0, 4.0])


class Model:
    def __init__(self):
        self.weights = np.arange(8.0)

    def __call__(self, x):
        return (self.weights * x).sum()


def many(a, b, c, d, e, f, g, h, i, j, k, m):
    def step(carry, _):
        return tuple(gnp.sin(x) * y for x, y in zip(carry, (*carry[1:], carry[0]), strict=True)), None

    return sum(x.sum() for x in gl.scan(step, (a, b, c, d, e, f, g, h, i, j, k, m), None, length=4)[0])


def eigen(a):
    values, vectors = gnp.linalg.eigh(a)
    sign, logdet = gnp.linalg.slogdet(a)
    return (vectors[0] * values).sum() + logdet * 1e300


def turns(x):
    for _ in range(12):
        x = gnp.tanh(x) * gnp.sin(x) + gnp.sqrt(gnp.sum(x**2) + 1)
    return x.sum()


def hvp_of_turns(x):
    return gl.hvp(turns, (x,), (x,))


PROGRAMS = {
    "network": (gl.grad(network), ((W, B), X, Y)),
    "recurrent": (gl.grad(recurrent), (SPD / 9, S)),
    "newton": (gl.grad(newton), (7.0,)),
    "branches": (gl.value_and_grad(branches), (V,)),
    "likelihood": (gl.grad(likelihood, argnums=(0, 1)), (SPD, B)),
    "long_chain": (gl.grad(long_chain), (V / 4,)),
    "polynomial hessian": (gl.hessian(polynomial, argnums=(0, 1)), (3.0, 4.0)),
    "network hvp": (hvp, ((W, B), (W + 1, B - 1), X, Y)),
    "spectrum": (gl.grad(spectrum), (V,)),
    "ranks": (gl.jacobian(ranks), (V,)),
    "smooth": (gl.hessian(smooth), (V,)),
    "batched": (gl.vmap(gl.grad(likelihood), in_axes=(None, 0)), (SPD, S)),
}
RUNNER = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "gradlab":
            raise ImportError("gradlab is not here")
sys.meta_path.insert(0, Blocked())
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
for text, name, args in json.load(sys.stdin):
    scope = {}
    exec(text, scope)
    outs = jax.jit(scope[name])(*[np.array(a, dtype) for a, dtype in args])
    print(json.dumps([[float.hex(float(v)) for v in np.ravel(o)] for o in outs]))
"""


@pytest.fixture(scope="module")
def texts():
    return {name: gl.source(f)(*args) for name, (f, args) in PROGRAMS.items()}


def entry(text):
    return [line for line in text.splitlines() if line.startswith("def ")][-1].split("(")[0].removeprefix("def ")


def test_runs_with_jax_alone_and_gives_the_same_bits(texts):
    jobs = []
    for name, (_, args) in PROGRAMS.items():
        leaves = [np.asarray(x) for x in jax.tree.leaves(args)]
        jobs.append((texts[name], entry(texts[name]), [(x.tolist(), x.dtype.name) for x in leaves]))
    done = subprocess.run([sys.executable, "-c", RUNNER], input=json.dumps(jobs), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for (name, (f, args)), line in zip(PROGRAMS.items(), done.stdout.splitlines(), strict=True):
        got = [[float.fromhex(v) for v in out] for out in json.loads(line)]
        for a, b in zip(got, jax.tree.leaves(gl.jit(f)(*args)), strict=True):
            np.testing.assert_array_equal(a, np.ravel(b), err_msg=name)


def test_is_laid_out_as_a_formatter_would(texts, tmp_path):
    for name, text in texts.items():
        (tmp_path / f"{name.replace(' ', '_')}.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_values_are_named_by_the_users_variables(texts):
    text = texts["network"]
    for line in ("h = lax.tanh(", "logits = ", "logits_bar = ", "params_0_bar = ", "params_1_bar = "):
        assert f"\n    {line}" in text
    text = texts["network hvp"]
    for name in ("h_dot", "logits_dot", "logits_bar", "logits_bar_dot", "p_0_bar_dot"):
        assert f"\n    {name} = " in text


def test_loops_and_captured_arrays_have_the_users_names(texts):
    assert "def step(h, x):" in texts["recurrent"]
    assert "last, hs = lax.scan(" in gl.source(recurrent)(SPD, S)
    text = gl.source(gl.grad(lambda v: (gnp.tanh(W @ v) * scale).sum()))(B)
    assert "(v, W, scale):" in text
    model = Model()
    assert "(x, self_weights):" in gl.source(model)(V)


def test_what_derived_loops_carry_and_hand_out_has_names(texts):
    text = texts["recurrent"]
    assert re.search(r"\n    last, \(?hs\b.* = lax\.scan\(step, h_start, xs\)\n", text)
    assert "\n    hs_bar = 2.0 * hs\n" in text and "\n    last_bar = " in text
    # What is kept of each turn, and where the weights' gradient is summed up, is the loop's own choice.
    assert re.search(r"\n        (\w*, )?h_bar = carry\n|\n    def step_1\(h_bar, ", text)
    assert re.search(r"\bhs_bar_row\b", text) and re.search(r"\n    .*\bh_start_bar\b.* = lax\.scan\(", text)
    assert re.search(r"return \(w_bar\w*,\)\n$", text)
    assert "(root, state_1_end, root_dot) = lax.while_loop(" in texts["newton"]
    text = gl.source(gl.hessian(recurrent))(*PROGRAMS["recurrent"][1])
    for name in ("hs_dot", "h_bar_dot"):
        assert re.search(rf"\b{name}\b", text)
    assert "_dot_dot" not in text and "test_source" not in text


def results_of_loops(x):
    (a, b), _ = gl.scan(lambda s, _: ((gnp.sin(s[1]), s[0] * s[1]), None), (x, x), length=3)
    v = gl.fori_loop(0, 3, lambda i, v: gnp.sin(v) * v, a)
    rows = gl.map(lambda r: gnp.exp(r), x)
    z = gl.while_loop(lambda z: z[0] < 5.0, lambda z: z * b + z, v + 1.0)
    return gl.cond(z.sum() > 0, lambda: z, lambda: z * 2.0).sum() + (rows * v).sum()


def test_the_users_names_for_what_loops_give(tmp_path):
    text = gl.source(gl.grad(results_of_loops))(V[:5] ** 2 + 1)
    for line in (r"\(a, b\), \(", r"v_\d, v_stack = ", "_, rows = ", r"\(z_\d, trip_end\) = lax.while_loop\("):
        assert re.search(rf"\n    {line}", text)
    assert re.search(r"\(v_bar\w*, b_bar\w*\)", text)
    assert "def step_1(v, i):" in text and re.search(r"def step_2\(t\d, r\):", text)
    (tmp_path / "loops.py").write_text(text)
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    scope = {}
    exec(text, scope)
    got = jax.jit(scope[entry(text)])(V[:5] ** 2 + 1, np.arange(3))
    np.testing.assert_array_equal(got[0], gl.grad(results_of_loops)(V[:5] ** 2 + 1))


def test_layouts_that_are_rare(tmp_path):
    (tmp_path / "many.py").write_text(gl.source(gl.grad(many))(*np.ones((12, 3))))
    (tmp_path / "eigen.py").write_text(gl.source(gl.grad(eigen))(SPD))
    (tmp_path / "turns.py").write_text(gl.source(hvp_of_turns)(V / 4))
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--diff", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_comments_name_the_users_lines(texts):
    line = network.__code__.co_firstlineno + 2
    assert f"    # network, line {line}: h = gnp.tanh(x @ w)\n" in texts["network"]
    assert f"    # derivative of network, line {line}: h = gnp.tanh(x @ w)\n" in texts["network"]
    assert "# derivative" not in gl.source(gl.grad(polynomial), lines=False)(3.0, 4.0)


def test_show_prints_types_and_lines(capsys):
    gl.show(network)((W, B), X, Y)
    shown = capsys.readouterr().out
    assert "tanh" in shown and ":f64[6,3] = " in shown
    line = network.__code__.co_firstlineno + 2
    assert "\n  logits:f64[6,3] = add h b " in shown and f"  # network, line {line}: h = gnp.tanh(x @ w)\n" in shown
    gl.show(gl.grad(recurrent), lines=False)(*PROGRAMS["recurrent"][1])
    shown = capsys.readouterr().out
    assert re.search(r"\n  last:f64\[3\] hs:f64\[5,3\] .*= scan\[", shown) and " h_bar:f64[3] " in shown
    assert "#" not in shown and "length=5 reverse=True" in shown


@pytest.mark.parametrize("tool", [gl.source, gl.show, gl.draw])
def test_a_value_in_the_place_of_a_function_is_refused_by_the_name_of_the_tool(tool):
    with pytest.raises(StructureError, match=f"{tool.__name__} needs a function"):
        tool(3.0)
