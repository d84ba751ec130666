"""`curve_fit`: parameters of a model that fit data best, and how well the data determine them."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import numpy as gnp
from ..ir.errors import ArgumentError, ShapeError, SolveError
from ..trace.avals import is_jax_tracer
from .flat import flat_of
from .least_squares import least_squares
from .result import Result

# What is handed on to `least_squares`: all that it takes, but for what curve_fit says itself.
_OPTIONS = inspect.signature(least_squares).parameters.keys() - {"residuals", "x0", "args", "bounds", "jacobian"}


def curve_fit(
    f: Callable,
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    bounds: tuple[Any, Any] | None = None,
    *,
    full_output: bool = False,
    **options: Any,
) -> tuple[Any, ...]:
    """The parameters p for which `f(xdata, *p)` fits `ydata` best, and their covariance.

    **Arguments:** `f`: the model. `xdata`: passed on as it is (a list as an array). `ydata` (m,): real or complex.
    `p0`: the start, a sequence of numbers, ones unless given; or any other pytree, then the model is called as
    `f(xdata, p)`. `sigma`: standard deviations of ydata (a number or (m,)), or their covariance matrix (m, m).
    `absolute_sigma`: whether sigma is in the units of ydata; if not, only its ratios matter and the residuals' own
    spread scales the covariance.
    `bounds`: (lower, upper), as in `least_squares`. `full_output`: return the `Result` too. `options`: of
    `least_squares` (method, loss, f_scale, gtol, ...).
    **Returns:** `(p, covariance)` or `(p, covariance, result)`: p (n,) or the tree given; covariance (n, n) in the
    order of p's numbers, infinite where the data do not determine p.
    **Raises:** `SolveError` if no fit was found and full_output is False; `ShapeError`; as `least_squares`.
    """
    unknown = options.keys() - _OPTIONS
    if unknown:
        raise ArgumentError(
            f"curve_fit takes the options {', '.join(sorted(_OPTIONS))}, got {', '.join(sorted(unknown))}. "
            "Leave it out."
        )
    start = _start(f, p0)
    spread = isinstance(start, np.ndarray | jax.Array)
    if isinstance(xdata, list):
        xdata = np.asarray(xdata)
    if spread:
        _require_parameters(f, start.size)
    y = jnp.asarray(ydata)
    if not is_jax_tracer(y) and not bool(jnp.all(jnp.isfinite(y))):
        raise ArgumentError(f"ydata holds {int(jnp.sum(~jnp.isfinite(y)))} values that are not finite: leave them out.")
    whiten = _whitening(sigma, y.shape)

    def residuals(p: Any, x: Any, y: Any) -> Any:
        model = f(x, *p) if spread else f(x, p)
        return whiten(gnp.asarray(model) - y).reshape(-1)

    result = least_squares(residuals, start, args=(xdata, y), bounds=bounds, jacobian="dense", **options)
    code = result.code
    if not full_output and not is_jax_tracer(code) and int(code) <= 0:
        raise SolveError(f"curve_fit found no fit: {result.message} Or pass full_output=True to see how far it came.")
    covariance = _covariance(result, absolute_sigma)
    return (result.x, covariance, result) if full_output else (result.x, covariance)


def _start(f: Callable, p0: Any) -> Any:
    if p0 is None:
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        parameters = inspect.signature(f).parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            raise ArgumentError("curve_fit cannot count the parameters of a model that takes *args. Pass p0.")
        n = sum(p.kind in kinds for p in parameters) - 1
        if n < 1:
            raise ArgumentError("curve_fit needs a model f(x, a, b, ...) with at least one parameter.")
        return np.ones(n)
    if isinstance(p0, list | tuple) or (isinstance(p0, float | np.ndarray | jax.Array) and np.ndim(p0) < 2):
        start = jnp.atleast_1d(jnp.asarray(p0))
        return start if jnp.issubdtype(start.dtype, jnp.inexact) else start.astype(float)
    return p0


def _require_parameters(f: Callable, n: int) -> None:
    try:
        taken = inspect.signature(f)
    except (TypeError, ValueError):
        return
    try:
        taken.bind("x", *range(n))
    except TypeError as error:
        raise ArgumentError(
            f"curve_fit calls the model with x and the {n} numbers of p0; it takes {taken} ({error})."
        ) from None


def _whitening(sigma: Any, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    if sigma is None:
        return lambda r: r
    try:
        sigma = jnp.asarray(sigma)
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"sigma must be standard deviations or a covariance matrix, got {sigma!r}.") from error
    size = int(np.prod(shape))
    if sigma.size == 1 or sigma.shape == shape:
        if not is_jax_tracer(sigma) and not bool(jnp.all(sigma > 0)):
            wrong = int(jnp.sum(~(sigma > 0)))
            raise ArgumentError(
                f"sigma must be positive, but {wrong} of {sigma.size} standard deviations are not. "
                "Leave out points of no known spread, or give them one."
            )
        return lambda r: r / sigma
    if sigma.shape == (size, size):
        factor = jnp.linalg.cholesky(sigma)
        if not is_jax_tracer(factor) and not bool(jnp.all(jnp.isfinite(factor))):
            raise ArgumentError("sigma must be a covariance matrix, but it is not positive definite.")
        inverse = jax.scipy.linalg.solve_triangular(factor, jnp.eye(size, dtype=factor.dtype), lower=True)
        return lambda r: gnp.asarray(inverse) @ r.reshape(-1)
    raise ShapeError(f"sigma must have the shape of ydata, {shape}, or be its covariance, got shape {sigma.shape}.")


def _covariance(result: Result, absolute: bool) -> jax.Array:
    jacobian = result.extra.jacobian
    m, n = jacobian.shape
    _, s, vt = jnp.linalg.svd(jacobian, full_matrices=False)
    small = jnp.finfo(s.dtype).eps * max(m, n) * jnp.max(s, initial=0)
    determined = (m >= n) & jnp.all(s > small)
    rows = vt / jnp.where(s > small, s, 1)[:, None]
    covariance = rows.T @ rows
    if not absolute:
        determined = determined & (m > n)
        covariance = covariance * (2 * result.f / max(m - n, 1))
    return jnp.where(determined, covariance, jnp.inf)


def standard_errors(p: Any, covariance: Any) -> Any:
    """√ of the covariance's diagonal, with the structure of the parameters `p`."""
    flat, _ = flat_of(p, "standard_errors", "p")
    return flat.unflatten(jnp.sqrt(jnp.diagonal(covariance)))
