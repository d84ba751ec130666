"""The table of awkward points: functions, where they are asked, and why some have no finite derivative there.

`docs/edges.md` shows it with what gradlab and JAX answer; `python -m tests.numpy.edges` writes that page anew.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as onp

import gradlab as gl
import gradlab.numpy as gnp
from tests.support import QUICK

PAGE = Path(__file__).parents[2] / "docs" / "edges.md"


class Row(NamedTuple):
    """`text`: an expression in x, np and special. `at`: x. `why`: the reason if there is no finite derivative there."""

    text: str
    at: float | list[float]
    why: str = ""

    def function(self, np: Any, special: Any) -> Callable[[Any], Any]:
        return eval(f"lambda x: {self.text}", {"np": np, "special": special})


STEEP = "the slope is infinite"
POLE = "a pole"
OUTSIDE = "outside of the domain"
ONE_SIDED = "infinite from one side"
STEP = "no derivative in the exponent: next to it the power is not real"

TABLE: dict[str, list[Row]] = {
    "Size, sign, the larger and the smaller": [
        Row("np.abs(x)", 0.0),
        Row("np.fabs(x)", 0.0),
        Row("np.abs(x + 0j)", 0.0),
        Row("np.angle(x + 0j)", 0.0),
        Row("np.sign(x)", 0.0),
        Row("np.copysign(x, 1.0)", 0.0),
        Row("np.copysign(1.0, x)", 0.0),
        Row("np.heaviside(x, 0.5)", 0.0),
        Row("np.maximum(x, 0.0)", 0.0),
        Row("np.maximum(0.0, x)", 0.0),
        Row("np.minimum(x, 0.0)", 0.0),
        Row("np.maximum(x[0], x[1])", [1.0, 1.0]),
        Row("np.fmax(x, 0.0)", 0.0),
        Row("np.fmin(x, 0.0)", nan),
        Row("np.clip(x, 0.0, 1.0)", 0.0),
        Row("np.clip(x, 0.0, 1.0)", 1.0),
        Row("np.nan_to_num(x)", nan),
        Row("np.nan_to_num(x)", inf),
    ],
    "Steps": [
        Row("np.floor(x)", 1.0),
        Row("np.round(x)", 0.5),
        Row("np.trunc(x)", 0.0),
        Row("np.mod(x, 2.0)", 4.0),
        Row("np.mod(6.0, x)", 2.0),
        Row("np.fmod(x, 2.0)", 4.0),
        Row("np.floor_divide(x, 2.0)", 4.0),
        Row("np.modf(x)[0]", 1.0),
    ],
    "Powers, roots, quotients": [
        Row("np.sqrt(x)", 0.0, STEEP),
        Row("np.cbrt(x)", 0.0, STEEP),
        Row("x**0", 0.0),
        Row("x**0.0", 0.0),
        Row("x**1", 0.0),
        Row("x**2", 0.0),
        Row("x**2.0", 0.0),
        Row("x**3", 0.0),
        Row("x**0.5", 0.0, STEEP),
        Row("x**1.5", 0.0, "its second derivative is infinite"),
        Row("x**-1", 0.0, POLE),
        Row("x**3", -2.0),
        Row("x**2.0", -3.0),
        Row("x**0.5", -1.0, OUTSIDE),
        Row("np.power(0.0, x)", 2.0),
        Row("np.power(0.0, x)", 0.0),
        Row("np.power(-2.0, x)", 2.0, STEP),
        Row("np.power(x[0], x[1])", [0.0, 2.0]),
        Row("np.power(x[0], x[1])", [0.0, 0.0]),
        Row("np.power(x[0], x[1])", [-2.0, 3.0], STEP),
        Row("1 / x", 0.0, POLE),
        Row("x[0] / x[1]", [0.0, 0.0], "there is no value"),
        Row("np.hypot(x[0], x[1])", [0.0, 0.0]),
        Row("np.arctan2(x[0], x[1])", [0.0, 0.0]),
        Row("np.arctan2(x[0], x[1])", [0.0, -1.0]),
        Row("np.sqrt(x[0] ** 2 + x[1] ** 2)", [0.0, 0.0]),
        Row("np.sqrt(np.sum(x**2))", [0.0, 0.0]),
        Row("np.sqrt(x @ x)", [0.0, 0.0]),
        Row("np.sqrt(np.mean(np.square(x)))", [0.0, 0.0]),
    ],
    "Exponentials and logarithms": [
        Row("np.exp(x)", -inf),
        Row("np.log(x)", 0.0, POLE),
        Row("np.log1p(x)", -1.0, POLE),
        Row("np.log2(x)", 0.0, POLE),
        Row("np.logaddexp(x, 0.0)", -inf),
        Row("np.logaddexp(x, 0.0)", inf),
        Row("np.logaddexp(x[0], x[1])", [0.0, 0.0]),
        Row("np.logaddexp(x[0], x[1])", [-inf, 0.0]),
        Row("np.logaddexp(x[0], x[1])", [-inf, -inf]),
        Row("np.logaddexp(x[0], x[1])", [inf, 0.0]),
        Row("np.logaddexp(x[0], x[1])", [inf, inf]),
        Row("special.logsumexp(x)", [-inf, 0.0]),
        Row("special.logsumexp(x)", [-inf, -inf]),
        Row("special.logsumexp(x)", [inf, 0.0]),
        Row("special.logsumexp(x)", [1000.0, 1000.0]),
        Row("np.log(np.sum(np.exp(x)))", [-inf, 0.0]),
        Row("special.softmax(x)[0]", [-inf, 0.0]),
        Row("special.softmax(x)[0]", [1000.0, 0.0]),
        Row("special.softmax(x)[0]", [-inf, -inf], "there is no value"),
        Row("special.log_softmax(x)[0]", [0.0, -inf]),
        Row("special.expit(x)", 1000.0),
        Row("special.expit(x)", -1000.0),
        Row("special.expit(x)", -inf),
        Row("special.logit(x)", 0.0, POLE),
        Row("np.tanh(x)", inf),
    ],
    "Entropies": [
        Row("special.xlogy(x[0], x[1])", [0.0, 2.0]),
        Row("special.xlogy(x[0], x[1])", [0.0, 0.0], "the slope in its first argument is log 0"),
        Row("special.xlog1py(x[0], x[1])", [0.0, -1.0], "the slope in its first argument is log 0"),
        Row("special.xlogy(x, x)", 0.0, STEEP),
        Row("special.entr(x)", 0.0, STEEP),
        Row("special.entr(x)", -1.0),
        Row("special.rel_entr(x[0], x[1])", [0.0, 0.0]),
        Row("special.rel_entr(x[0], x[1])", [0.0, 1.0]),
        Row("special.rel_entr(x[0], x[1])", [1.0, 0.0]),
        Row("special.kl_div(x[0], x[1])", [0.0, 1.0]),
    ],
    "Angles": [
        Row("np.sinc(x)", 0.0),
        Row("np.arcsin(x)", 1.0, STEEP),
        Row("np.arcsin(x)", -1.0, STEEP),
        Row("np.arccos(x)", 1.0, STEEP),
        Row("np.arccosh(x)", 1.0, STEEP),
        Row("np.arctanh(x)", 1.0, POLE),
    ],
    "Branches": [
        Row("np.where(x > 0, np.sqrt(x), 0.0)", 0.0),
        Row("np.where(x == 0, 1.0, np.sin(x) / x)", 0.0),
        Row("np.where(x > 0, x * np.log(x), 0.0)", 0.0),
        Row("np.where(x > 0, np.log(x), 0.0)", -1.0),
        Row("np.where(np.sum(x**2) > 0, x / np.sqrt(np.sum(x**2)), 0.0)", [0.0, 0.0]),
        Row("np.select([x > 0], [1 / x], 0.0)", 0.0),
        Row("np.sqrt(np.where(x > 0, x, 0.0))", 0.0),
        Row("np.sqrt(np.maximum(x, 0.0))", -1.0),
        Row("np.nansum(x)", [nan, 2.0]),
        Row("np.nanmean(x)", [nan, 2.0]),
        Row("np.nanmean(x)", [nan, nan]),
        Row("np.nanprod(x)", [nan, 2.0]),
        Row("np.nanmax(x)", [nan, 2.0]),
        Row("np.nanstd(x)", [nan, 2.0, 2.0]),
        Row("np.mean(x, where=x > 0)", [0.0, 0.0]),
    ],
    "Orders and ties": [
        Row("np.max(x)", [1.0, 1.0]),
        Row("np.min(x)", [1.0, 1.0]),
        Row("np.sort(x)[0]", [1.0, 1.0]),
        Row("np.partition(x, 0)[0]", [1.0, 1.0]),
        Row("np.median(x)", [1.0, 1.0]),
        Row("np.median(x)", [1.0, 1.0, 2.0]),
        Row("np.quantile(x, 0.25)", [1.0, 1.0, 1.0]),
        Row("np.ptp(x)", [1.0, 1.0]),
    ],
    "Products and spreads": [
        Row("np.prod(x)", [0.0, 2.0, 3.0]),
        Row("np.prod(x)", [0.0, 0.0, 3.0]),
        Row("np.cumprod(x)[-1]", [0.0, 2.0, 3.0]),
        Row("np.sum(np.cumprod(x))", [0.0, 0.0, 3.0]),
        Row("np.var(x)", [2.0, 2.0]),
        Row("np.std(x)", [2.0, 2.0]),
    ],
    "Norms and matrices": [
        Row("np.linalg.norm(x)", [0.0, 0.0]),
        Row("np.linalg.norm(x, 1)", [0.0, 0.0]),
        Row("np.linalg.norm(x, 3)", [0.0, 0.0]),
        Row("np.linalg.norm(x, np.inf)", [0.0, 0.0]),
        Row("np.linalg.norm(x.reshape(1, 2), 'fro')", [0.0, 0.0]),
        Row("np.linalg.norm(x.reshape(1, 2), 2)", [0.0, 0.0]),
        Row("np.linalg.norm(x.reshape(1, 2), 'nuc')", [0.0, 0.0]),
        Row("np.linalg.det(np.diag(x))", [0.0, 3.0]),
        Row("np.linalg.det(np.diag(x))", [0.0, 0.0]),
        Row("np.sum(np.linalg.eigvalsh(np.diag(x)))", [1.0, 1.0]),
        Row("np.linalg.eigvalsh(np.diag(x))[0]", [1.0, 1.0]),
        Row("np.sum(np.linalg.eigh(np.diag(x))[1] ** 2)", [1.0, 1.0]),
        Row("np.sum(np.linalg.svd(np.diag(x), compute_uv=False))", [1.0, 0.0]),
        Row("np.sum(np.linalg.svd(np.diag(x))[0] ** 2)", [1.0, 1.0]),
        Row("np.linalg.pinv(np.diag(x))[0, 0]", [1.0, 0.0]),
        Row("np.linalg.inv(np.diag(x))[0, 0]", [0.0, 1.0], "there is no value"),
    ],
    "Special functions": [
        Row("special.gammaln(x)", -1.0, POLE),  # at 0 JAX's versions differ
        Row("special.digamma(x)", -1.0, POLE),
        Row("special.erfinv(x)", 1.0, POLE),
        Row("special.ndtri(x)", 0.0, POLE),
        Row("special.i0(x)", 0.0),
        Row("special.i0e(x)", 0.0),
        Row("special.i1(x)", 0.0),
        Row("special.i1e(x)", 0.0),
        Row("special.gammainc(1.0, x)", 0.0),
        Row("special.betainc(1.0, 1.0, x)", 1.0),
        Row("special.spence(x)", 1.0),
        Row("special.spence(x)", 0.0, STEEP),
    ],
}
ROWS = [row for rows in TABLE.values() for row in rows]


class Answer(NamedTuple):
    """What a library says of a row; the gradient is that of the sum of the value."""

    value: Any
    gradient: Any
    second: Any
    along: Any


def answers(lib: Any, np: Any, special: Any) -> list[Answer]:
    """What a library (gradlab or JAX) answers to every row, in one compilation. `along`: the jvp along (1, 2, ...)."""

    def one(row: Row) -> Callable[[Any], Answer]:
        f = row.function(np, special)

        def total(x):
            return np.sum(f(x))

        def answer(x):
            direction = onp.arange(1.0, 1.0 + x.size).reshape(x.shape)
            gradient = lib.grad(total)
            return Answer(f(x), gradient(x), lib.jacfwd(gradient)(x), lib.jvp(total, (x,), (direction,))[1])

        return answer

    every = [one(row) for row in ROWS]
    run = jax.jit(lambda xs: [f(x) for f, x in zip(every, xs, strict=True)], compiler_options=QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return jax.tree.map(onp.asarray, run([onp.asarray(row.at, float) for row in ROWS]))


def ours() -> list[Answer]:
    return answers(gl, gnp, gnp.special)


def theirs() -> list[Answer]:
    return answers(jax, jnp, jax.scipy.special)


# -- the page


def shown(x: Any) -> str:
    """A number or an array, to three digits."""
    if onp.ndim(x):
        return "[" + ", ".join(map(shown, x)) + "]"
    return f"{float(x) + 0.0:.3g}"


def cells(row: Row, answer: Answer) -> list[str]:
    """A row's first columns: what the page promises."""
    value = answer.value if onp.ndim(answer.value) < 2 else answer.value.ravel()
    return [f"`{row.text}`", shown(row.at), shown(value), shown(answer.gradient), shown(answer.second)]


def promised() -> list[list[str]]:
    """The first columns of every row of the page."""
    lines = [line for line in PAGE.read_text().splitlines() if re.match(r"\| `", line)]
    return [[cell.strip() for cell in re.split(r" \| ", line.strip("|"))[:5]] for line in lines]


def page(prose: str) -> str:
    """The page: `prose`, then the tables."""
    got, other = iter(ours()), iter(theirs())
    parts = [prose.rstrip()]
    for title, rows in TABLE.items():
        lines = [
            f"## {title}\n",
            "| function | at x = | value | gradient | second | JAX: gradient, second | why not finite |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for row in rows:
            mine, jaxs = cells(row, next(got)), cells(row, next(other))
            same = "the same" if mine[3:] == jaxs[3:] else ", ".join(jaxs[3:])
            lines.append(f"| {' | '.join([*mine, same, row.why])} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    text = PAGE.read_text() if PAGE.exists() else "# Derivatives at awkward points\n"
    sys.stdout.write(f"{PAGE}\n")
    PAGE.write_text(page(text.split("\n## Size")[0]))
