"""What the minimisers must show: a bar beside each number that benchmarks/optim.py measured, and the table of both."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from optim_peers import SOLVERS

SCIPY, OPTAX = "scipy L-BFGS-B", "optax lbfgs"
SIGNS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Bar:
    """**Attributes:** `what` is compared, the `value` measured, and the `limit` it must keep to."""

    section: str
    what: str
    value: float
    sign: str
    limit: float

    @property
    def met(self) -> bool:
        return SIGNS[self.sign](self.value, self.limit)

    def __str__(self) -> str:
        sign = {"<=": "≤", ">=": "≥", "<": "<"}[self.sign]
        return f"{self.what:<78}{self.value:>9.3g}  {sign} {self.limit:<8.3g}{'met' if self.met else 'MISSED'}"


def bars(section: str, rows: list[dict[str, Any]]) -> list[Bar]:
    """The bars of a section for which `rows` has what they compare."""
    found = {"mgh": of_mgh, "tenfold": of_tenfold, "bounded": of_bounded, "condition": of_condition,
             "size": of_size, "batched": of_batched}[section](rows)  # fmt: skip
    return [Bar(section, *bar) for bar in found]


def _share(flags: Iterable[bool]) -> float:
    flags = list(flags)
    return sum(flags) / len(flags)


def _total(rows: list[dict[str, Any]], name: str, beside: str) -> float:
    """Evaluations of `name` over those of `beside`, on the problems both solve."""
    both = [r for r in rows if r[name]["solved"] and r[beside]["solved"]]
    return sum(r[name]["evals"] for r in both) / sum(r[beside]["evals"] for r in both)


def of_mgh(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    names = [name for name in SOLVERS if name in rows[0]]
    if "lbfgs" in names:
        yield "lbfgs: problems solved, share", _share(r["lbfgs"]["solved"] for r in rows), ">=", 1.0
        first = [n for n in names if not SOLVERS[n].second]
        best = [min((r[n]["evals"] for n in first if r[n]["solved"]), default=0) for r in rows]
        near = _share(r["lbfgs"]["solved"] and r["lbfgs"]["evals"] <= 2 * b for r, b in zip(rows, best, strict=True))
        yield "lbfgs: share of problems within 2× of the fewest evaluations (first order)", near, ">=", 0.95
    if {"lbfgs", SCIPY} <= set(names):
        yield "lbfgs: evaluations / SciPy L-BFGS-B's", _total(rows, "lbfgs", SCIPY), "<=", 0.95
    if {"trust-region", "scipy trust-exact"} <= set(names):
        value = _total(rows, "trust-region", "scipy trust-exact")
        yield "trust-region: evaluations / SciPy trust-exact's", value, "<=", 1.0
    timed = [r for r in rows if "seconds" in r.get("lbfgs", {}) and "seconds" in r.get(SCIPY, {})]
    if not timed:
        return
    times = {
        n: statistics.median(r[n]["seconds"] / r[SCIPY]["seconds"] for r in timed if "seconds" in r[n]) for n in names
    }
    yield "lbfgs: median time / SciPy L-BFGS-B's", times["lbfgs"], "<=", 0.12
    peers = {n: t for n, t in times.items() if n.split()[0] in ("optax", "jaxopt", "optimistix", "jax.scipy")}
    if peers:
        fastest = min(peers, key=lambda n: peers[n])
        ratios = [r["lbfgs"]["seconds"] / r[fastest]["seconds"] for r in timed if "seconds" in r[fastest]]
        yield f"lbfgs: median time / that of the fastest compiled peer ({fastest})", statistics.median(ratios), "<=", 1
    if OPTAX in names:
        ratios = [r["lbfgs"]["first"] / r[OPTAX]["first"] for r in timed if "first" in r[OPTAX]]
        yield "lbfgs: median time of the first call / Optax's", statistics.median(ratios), "<=", 0.6


def of_tenfold(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    names = [name for name in SOLVERS if name in rows[0] and not SOLVERS[name].second]
    solved = {n: _share(r[n]["solved"] for r in rows) for n in names}
    own = solved.pop("lbfgs", None)
    if own is not None:
        best = max(solved, key=lambda n: solved[n], default=None)
        peer = f" (best peer: {best}, {solved[best]:.2f})" if best else ""
        yield f"lbfgs: problems solved from 10·x0, share{peer}", own, ">=", 0.98


def of_bounded(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    if "lbfgsb" not in rows[0]:
        return
    own = [r["lbfgsb"] for r in rows]
    yield "lbfgsb: problems solved, share", _share(r["solved"] for r in own), ">=", 1.0
    yield "lbfgsb: ends within the box, share", _share(r.get("inside", False) for r in own), ">=", 1.0
    if SCIPY in rows[0]:
        fewer = _share(r["lbfgsb"]["solved"] and r["lbfgsb"]["evals"] <= r[SCIPY]["evals"] for r in rows)
        yield "lbfgsb: share of problems with no more evaluations than SciPy", fewer, ">=", 0.8


def of_condition(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    if "lbfgs" in rows[0]:
        says = rows[0]["lbfgs"]["solved"] or "ILL_CONDITIONED" in rows[0]["lbfgs"]["word"]
        yield "lbfgs: solves it, or its status says that the condition is to blame", float(says), ">=", 1.0
    if "newton-cg" in rows[0]:
        newton = rows[0]["newton-cg"]
        yield "newton-cg: evaluations", float(newton["evals"] if newton["solved"] else "inf"), "<=", 100


def of_size(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    for row in rows:
        if "lbfgs" not in row:
            continue
        if row["n"] >= 1_000_000:
            yield f"n = {row['n']:.0e}: share of the copy bandwidth", row["lbfgs"]["share"], ">=", 0.5
        for name in row.keys() - {"n", "lbfgs"}:
            value = row["lbfgs"]["seconds"] / row[name]["seconds"]
            yield f"n = {row['n']:.0e}: time of an iteration / that of {name}", value, "<", 1.0


def of_batched(rows: list[dict[str, Any]]) -> Iterable[tuple]:
    for problem in dict.fromkeys(r["problem"] for r in rows):
        found = {r["solver"]: r for r in rows if r["problem"] == problem}
        own = found.pop("lbfgs", None)
        if own is None:
            continue
        yield f"{problem}: executed evaluations / the slowest lane's own", own["executed"] / own["slowest"], "<=", 1.1
        yield f"{problem}: time together / one after the other", own["together"] / own["in turn"], "<", 1.0
        for name, row in found.items():
            yield f"{problem}: time together / that of {name}", own["together"] / row["together"], "<", 1.0


def write_table(path: Path, machine: dict[str, str], found: list[Bar]) -> None:
    """The bars as a table in Markdown."""
    lines = ["| section | what | measured | bar | |", "|---|---|--:|--:|---|"]
    for bar in found:
        sign = {"<=": "≤", ">=": "≥", "<": "<"}[bar.sign]
        verdict = "met" if bar.met else "**missed**"
        lines.append(f"| {bar.section} | {bar.what} | {bar.value:.3g} | {sign} {bar.limit:g} | {verdict} |")
    about = ", ".join(f"{name} {value}" for name, value in machine.items())
    path.write_text("\n".join([*lines, "", f"*{about}*", ""]))
