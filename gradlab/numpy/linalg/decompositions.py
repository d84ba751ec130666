"""Factorizations and spectra: arguments as jax.numpy.linalg takes them, results by the names it gives them."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp

from ...ir.errors import ArgumentError, MissingRuleError
from ...ops import arith, shape
from ...ops.index import take_along_axis
from ...ops.linalg import cholesky as _cholesky
from ...ops.linalg import eig as _eig
from ...ops.linalg import qr as _qr
from ...ops.linalg import svd as _svd
from ...ops.linalg.matrix import across, adjoint, columns_of, hermitian_part, like, require_matrices, rows_of
from ...ops.sort import argsort
from ..dispatch import public
from ..promote import lift, promote


class EigResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class EighResult(NamedTuple):
    eigenvalues: Any
    eigenvectors: Any


class QRResult(NamedTuple):
    Q: Any
    R: Any


class SVDResult(NamedTuple):
    U: Any
    S: Any
    Vh: Any


def matrices(a: Any) -> Any:
    """`a` as a tracer of a dtype that matrices are factorized in."""
    (x,) = promote(lift(a), inexact=True)
    return x


@public(jnp.linalg.cholesky)
def cholesky(a: Any, *, upper: bool = False, symmetrize_input: bool = True) -> Any:
    """`jax.numpy.linalg.cholesky`, on tracers too; NaN where a matrix is not positive definite."""
    x = matrices(a)
    require_matrices("cholesky", x.aval, square=True)
    out = _cholesky.cholesky(hermitian_part(x) if symmetrize_input else x)
    return adjoint(out) if upper else out


@public(jnp.linalg.eigh)
def eigh(a: Any, UPLO: str | None = None, symmetrize_input: bool = True) -> EighResult:
    """`jax.numpy.linalg.eigh`, on tracers too."""
    if UPLO not in (None, "L", "U"):
        raise ArgumentError(f"UPLO says which triangle is read, 'L' or 'U'; got {UPLO!r}.")
    x = matrices(a)
    require_matrices("eigh", x.aval, square=True)
    return EighResult(*_eig.eigh(hermitian_part(x) if symmetrize_input else x, lower=UPLO != "U"))


@public(jnp.linalg.eigvalsh)
def eigvalsh(a: Any, UPLO: str | None = "L", *, symmetrize_input: bool = True) -> Any:
    """`jax.numpy.linalg.eigvalsh`, on tracers too."""
    return eigh(lift(a), UPLO, symmetrize_input)[0]


@public(jnp.linalg.eig)
def eig(a: Any) -> EigResult:
    """`jax.numpy.linalg.eig`, on tracers too; the eigenvectors have a derivative, those of an unrepeated eigenvalue."""
    return EigResult(*_eig.eig(matrices(a)))


@public(jnp.linalg.eigvals)
def eigvals(a: Any) -> Any:
    """`jax.numpy.linalg.eigvals`, on tracers too."""
    return _eig.eigvals(matrices(a))


@public(jnp.linalg.qr)
def qr(a: Any, mode: str = "reduced") -> Any:
    """`jax.numpy.linalg.qr`, on tracers too, but for the mode "raw"."""
    if mode == "raw":
        raise MissingRuleError('qr with mode="raw" has no derivative. Take mode="reduced", and q and r of it.')
    if mode not in ("reduced", "full", "complete", "r"):
        raise ArgumentError(f"qr has the modes 'reduced', 'complete' and 'r', got {mode!r}.")
    found = QRResult(*_qr.qr(matrices(a), full=mode == "complete"))
    return found.R if mode == "r" else found


@public(jnp.linalg.svd)
def svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False,
        subset_by_index: tuple[int, int] | None = None) -> Any:  # fmt: skip
    """`jax.numpy.linalg.svd`, on tracers too."""
    x = matrices(a)
    k = min(x.shape[-2:], default=0)
    if subset_by_index is not None and (full_matrices and compute_uv and tuple(subset_by_index) != (0, k)):
        raise ArgumentError("svd with subset_by_index takes full_matrices=False: the other vectors belong to no value.")
    if hermitian:
        found = _of_hermitian(x)
    elif compute_uv:
        found = _svd.svd(x, full=full_matrices)
    else:
        found = (None, _svd.svdvals(x), None)
    u, s, vh = found
    if subset_by_index is not None and tuple(subset_by_index) != (0, k):
        low, high = subset_by_index
        s = shape.slice_in_dim(s, low, high, axis=s.ndim - 1)
        if compute_uv:
            u, vh = columns_of(u, low, high), rows_of(vh, low, high)
    return SVDResult(u, s, vh) if compute_uv else s


def _of_hermitian(x: Any) -> tuple[Any, Any, Any]:
    """The singular values of a Hermitian matrix are the sizes of its eigenvalues; a sign goes into vᴴ."""
    w, v = eigh(x)
    last = w.ndim - 1
    order = shape.rev(argsort(arith.abs(w), axis=last), (last,))
    w = take_along_axis(w, order, axis=last)
    u = take_along_axis(v, across(order, v.shape[-2]), axis=v.ndim - 1)
    signs = like(across(arith.sign(w), v.shape[-2]), u)
    return u, arith.abs(w), adjoint(u * signs)


@public(jnp.linalg.svdvals)
def svdvals(x: Any, /) -> Any:
    """`jax.numpy.linalg.svdvals`, on tracers too."""
    return _svd.svdvals(matrices(x))
