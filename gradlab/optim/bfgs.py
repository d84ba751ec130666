"""BFGS with a dense matrix (Nocedal & Wright, algorithm 6.1), and steepest descent: other matrices, the same search."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax.numpy as jnp

from .lbfgs import LBFGS
from .method import Problem


class Dense(NamedTuple):
    """**Attributes:** `h` (n, n): the inverse Hessian's estimate; `sy`: s·y of the last pair in it, 0 for none."""

    h: Any
    sy: Any
    w: Any = ()


@dataclass(frozen=True)
class BFGS(LBFGS):
    """As `LBFGS`, every pair remembered in an n×n matrix; `memory` is not used."""

    def no_pairs(self, memory: int, problem: Problem) -> Dense:
        return Dense(jnp.eye(problem.n, dtype=problem.dtype), jnp.zeros((), problem.dtype))

    def write(self, problem, pairs, s, y):
        return pairs

    def direction(self, problem, pairs, x, g, pair, restart):
        s, y, sy, yy, good, _ = pair
        eye = jnp.eye(problem.n, dtype=problem.dtype)
        h = jnp.where(restart | (pairs.sy == 0), sy / yy * eye, pairs.h)
        hy = h @ y
        update = (1 + jnp.vdot(y, hy) / sy) / sy * jnp.outer(s, s) - (jnp.outer(hy, s) + jnp.outer(s, hy)) / sy
        h = jnp.where(good, h + update, jnp.where(restart, eye, pairs.h))
        pairs = Dense(h, jnp.where(good, sy, jnp.where(restart, 0, pairs.sy)))
        hg = h @ g
        return pairs, jnp.where(jnp.vdot(g, hg) > 0, -hg, -g), None


class Scale(NamedTuple):
    """**Attributes:** `sy`, `yy`: of the last pair; the steepest direction is scaled by their quotient."""

    sy: Any
    yy: Any
    w: Any = ()


@dataclass(frozen=True)
class GradientDescent(LBFGS):
    """Steepest descent along −g, scaled as the last step suggests (Barzilai & Borwein); `memory` is not used."""

    def no_pairs(self, memory: int, problem: Problem) -> Scale:
        return Scale(jnp.zeros((), problem.dtype), jnp.ones((), problem.dtype))

    def write(self, problem, pairs, s, y):
        return pairs

    def direction(self, problem, pairs, x, g, pair, restart):
        sy = jnp.where(pair.good, pair.sy, jnp.where(restart, 0, pairs.sy))
        pairs = Scale(sy, jnp.where(pair.good, pair.yy, pairs.yy))
        return pairs, jnp.where(pairs.sy > 0, -pairs.sy / pairs.yy * g, -g), None
