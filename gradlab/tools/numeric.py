"""Numerical differentiation: slopes of secants, with an estimate of how far from the tangent's they are.

It needs nothing but the function's values, which is its worth (it knows none of gradlab's rules, so it can check them)
and its price: one or two evaluations per number, and half of the digits or fewer. Each method lies in its own way:

* "forward", (f(x+h) − f(x)) / h: too large a step sees the curvature (error h·f''/2), too small a one sees the rounding
  of f (error 2u·f/h). The best step, about √u, leaves half of the digits: 8 of 16, 3 or 4 of 7.
* "central", (f(x+h) − f(x−h)) / 2h: error h²·f'''/6, best step about ∛u, two thirds of the digits. At a kink it returns
  the mean of the two slopes, a number no one-sided limit has (0.5 for max(x, 0) at 0).
* "richardson", central differences at many steps, extrapolated to step 0: 10 to 12 digits of a smooth function. A
  function that is noisy, or oscillates faster than the smallest step, looks smooth to none of the steps.
* "complex-step", Im f(x+ih) / h: nothing is subtracted, so the step may be tiny and all digits are right. Only where f
  is analytic and computed by analytic operations: abs, max, comparisons, conj and casts to real drop the imaginary
  part, and the slope comes out as 0 or as half, without a sound.

An absolute step suits arguments of size 1: for x = 1e9 a step of 1e-4 is lost, for x = 1e-9 it is a leap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ..api.arguments import leaf_paths, parameter_name
from ..ir.errors import ArgumentError, DTypeError, NonScalarError, StructureError
from ..ir.graph import is_inexact
from ..trace.avals import aval_of

tree_flatten = jax.tree_util.tree_flatten
tree_unflatten = jax.tree_util.tree_unflatten

METHODS = ("forward", "central", "complex-step", "richardson")
LEVELS = 10  # steps of Richardson's, each twice the one before


class Estimate(NamedTuple):
    """A derivative by differences, and how far it may be off: truncation and rounding together."""

    value: Any
    error: Any


def gradients(
    f: Callable, args: Sequence[Any], eps: float = 1e-4, method: str = "forward", with_error: bool = False
) -> Any:
    """The gradient of `f` at `args` by differences, one number at a time.

    **Arguments:** `f`: returns one real number; it is called as it is, on plain numbers and arrays. `args`: its
    positional arguments, a list or tuple of pytrees of real or complex numbers and arrays. `eps`: the step [x]; the
    smallest of "richardson"; "complex-step" takes eps times the rounding unit, as nothing cancels there. `method`:
    "forward", "central", "complex-step" or "richardson"; the module's text says when each lies.
    **Returns:** a list or tuple like `args`, each number replaced by its partial derivative; for complex z = x + iy by
    ∂f/∂x − i ∂f/∂y, as `gradlab.grad`. With `with_error`, an `Estimate(value, error)` of two such: the error is judged
    from a second step and from the rounding of f, at the cost of more evaluations.
    **Raises:** `ArgumentError`, `StructureError`, `DTypeError`, `NonScalarError`.
    """
    if method not in METHODS:
        raise ArgumentError(f"method must be one of {', '.join(METHODS)}, got {method!r}.")
    if not eps > 0:
        raise ArgumentError(f"eps must be a positive step, got {eps!r}.")
    if not isinstance(args, tuple | list):
        raise StructureError(f"gradients needs the arguments as a list or tuple, got {args!r}. Write [{args!r}].")
    leaves, tree = tree_flatten(args)
    given = [_number(leaf, k, args, f, method) for k, leaf in enumerate(leaves)]
    values, errors = [], []
    for k, leaf in enumerate(given):
        found = [_partial(f, given, tree, k, i, eps, method, with_error) for i in range(np.size(leaf))]
        shape = np.shape(leaf)
        values.append(_shaped([one.value for one in found], shape))
        errors.append(_shaped([one.error for one in found], shape))
    value = tree_unflatten(tree, values)
    return Estimate(value, tree_unflatten(tree, errors)) if with_error else value


def _number(leaf: Any, k: int, args: Sequence[Any], f: Callable, method: str) -> Any:
    """A leaf as something with a step to take: a Python int is a float."""
    if type(leaf) is int:
        return float(leaf)
    aval = aval_of(leaf)
    if is_inexact(aval.dtype) and not (method == "complex-step" and aval.dtype.kind == "c"):
        return leaf
    name = _leaf_name(f, args, k)
    if is_inexact(aval.dtype):
        raise DTypeError(f"the complex step needs real arguments, but {name} is {aval}. Use another method.")
    raise DTypeError(f"gradients needs real or complex arguments, but {name} is {aval}. Write x.astype(float).")


def _leaf_name(f: Callable, args: Sequence[Any], k: int) -> str:
    trees = [jax.tree_util.tree_structure(arg) for arg in args]
    return [parameter_name(f, i) + path for i, tree in enumerate(trees) for path in leaf_paths(tree)][k]


def _shaped(found: list[Any], shape: tuple[int, ...]) -> Any:
    return np.asarray(found).reshape(shape) if shape else None if found[0] is None else np.asarray(found[0]).item()


def _partial(
    f: Callable, leaves: list[Any], tree: Any, k: int, i: int, eps: float, method: str, with_error: bool
) -> Estimate:
    leaf = leaves[k]

    def along(direction: complex) -> Callable[[Any], Any]:
        def curve(t: Any) -> Any:
            new = list(leaves)
            new[k] = _moved(leaf, i, t * direction)
            return _scalar(f(*tree_unflatten(tree, new)), f, np.iscomplexobj(t))

        return curve

    start = np.asarray(leaf).reshape(-1)[i]
    found = slope(along(1.0), eps, method, with_error, start)
    if np.iscomplexobj(start):
        other = slope(along(1j), eps, method, with_error, start)
        error = np.hypot(found.error, other.error) if with_error else None
        found = Estimate(found.value - 1j * other.value, error)
    return found


def _moved(leaf: Any, i: int, step: Any) -> Any:
    if isinstance(leaf, float | complex) and not isinstance(leaf, np.generic):
        return leaf + step
    is_complex = np.iscomplexobj(step)
    dtype = np.result_type(leaf.dtype, np.complex64) if is_complex else leaf.dtype
    new = np.array(leaf, dtype)
    new.reshape(-1)[i] += np.asarray(step, dtype)
    return jax.numpy.asarray(new) if isinstance(leaf, jax.Array) else new if new.shape else new[()]


def _scalar(y: Any, f: Callable, complex_too: bool) -> Any:
    if np.shape(y):
        raise NonScalarError(f"gradients needs {f} to return one number, got shape {np.shape(y)}. Sum it.")
    y = np.asarray(y)[()]
    if np.iscomplexobj(y) and not complex_too:
        raise DTypeError(f"gradients needs {f} to return a real number, got {y!r}. Take .real or abs.")
    return y


def unit(dtype: Any) -> float:
    """The rounding unit: half the gap between 1 and the next number. That of float64 for what has none."""
    dtype = np.dtype(dtype)
    return float(jax.numpy.finfo(dtype).eps) / 2 if is_inexact(dtype) else 2.0**-53


def slope(curve: Callable[[Any], Any], eps: float, method: str, with_error: bool = True, start: Any = 1.0) -> Estimate:
    """The derivative of `curve(t)` at 0, a number; `start` is the number that t is added to, which rounds the step."""
    if method == "richardson":
        steps = [_exact(start, eps * 2.0**k) for k in range(LEVELS)][::-1]
        found = extrapolate(steps, [curve(h) for h in steps], [curve(-h) for h in steps])
        return Estimate(found.value[()], found.error[()])
    if method == "complex-step":
        h = eps * unit(np.float64)
        value = np.imag(curve(1j * h)) / h
        if not with_error:
            return Estimate(value, None)
        # Where f is not analytic nothing in the complex step shows it: central differences do, to their precision.
        other = slope(curve, eps, "central", True, start)
        off = max(np.abs(value - other.value) - 2 * other.error, 0.0)
        return Estimate(value, off + 8 * unit(np.result_type(value)) * np.abs(value))
    h = _exact(start, eps)
    here: Any = curve(0.0) if method == "forward" else None

    def secant(h: float) -> tuple[Any, float]:
        ahead = curve(h)
        behind, width = (here, h) if method == "forward" else (curve(-h), 2 * h)
        found, u = (ahead - behind) / width, unit(np.result_type(ahead))
        # The function rounds its value, and (computing in its own precision) where it was evaluated.
        return found, u * (2 * max(np.abs(ahead), np.abs(behind)) + np.abs(start * found)) / width

    value, noise = secant(h)
    if not with_error:
        return Estimate(value, None)
    # Twice the step has twice (four times) the truncation error: the difference tells how much that is.
    wider, _ = secant(2 * h)
    return Estimate(value, abs(wider - value) / (1 if method == "forward" else 3) + noise)


def _exact(start: Any, step: float) -> float:
    """The step that is really taken from `start`, where start + step is rounded."""
    if not isinstance(start, np.floating | float):
        return step
    at = np.asarray(start)
    taken = float((at + np.asarray(step, at.dtype)).astype(at.dtype)) - float(at)
    return taken if taken > 0 else step


def extrapolate(steps: Sequence[float], ahead: Sequence[Any], behind: Sequence[Any]) -> Estimate:
    """Richardson's limit of central differences, and the error of each of its numbers.

    **Arguments:** `steps`: decreasing by halves. `ahead`, `behind`: the values at each step, forward and back, of one
    shape. Steps so wide that a value is not finite are left out; if none is left, value and error are NaN.
    **Returns:** of all entries of the extrapolation table the one with the smallest estimated error in its largest
    number: the distance to its neighbours in the table, and the rounding of the values over the step.
    **Source:** C. J. F. Ridders, *Accurate computation of F'(x) and F'(x) F''(x)*, Adv. Eng. Software 4 (1982) 75-76.
    """
    dtype = np.asarray(ahead[0]).dtype
    u, wide = unit(dtype), np.complex128 if dtype.kind == "c" else np.float64
    best = Estimate(np.full(np.shape(ahead[0]), np.nan, wide), np.full(np.shape(ahead[0]), np.nan))
    row: list[Any] = []
    widths: list[float] = []
    for h, plus, minus in zip(steps, ahead, behind, strict=True):
        plus, minus = np.asarray(plus).astype(wide), np.asarray(minus).astype(wide)
        if not (np.isfinite(plus).all() and np.isfinite(minus).all()):
            row, widths = [], []
            continue
        noise = 2 * u * np.maximum(np.abs(plus), np.abs(minus)) / h
        new = [(plus - minus) / (2 * h)]
        widths.append(h)
        for j, before in enumerate(row):
            ratio = (widths[-2 - j] / h) ** 2
            new.append(new[j] + (new[j] - before) / (ratio - 1))
            error = np.maximum(np.abs(new[j + 1] - new[j]), np.abs(new[j + 1] - before)) + noise
            if not np.max(error, initial=0.0) >= np.max(best.error, initial=0.0) or not best.error.size:
                best = Estimate(new[j + 1], error)
        row = new
    return best
