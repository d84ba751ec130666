"""JAX's larger operations in the IR's words: convolutions, windows, Fourier transforms, factorizations, random keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.lax import FftType

from ..ir.graph import is_inexact
from ..ops import conv, fft, random, window
from ..ops.linalg import cholesky, eig, lu, qr, svd, triangular
from .jaxpr import reads

# -- windows


@reads("conv_general_dilated")
def _conv(xs, outs, *, window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count,
          batch_group_count, precision=None, preferred_element_type=None, out_sharding=None):  # fmt: skip
    (x, y), (out,) = xs, outs
    if x.dtype != y.dtype or not is_inexact(x.dtype):
        return NotImplemented
    numbers = (dimension_numbers.lhs_spec, dimension_numbers.rhs_spec, dimension_numbers.out_spec)
    given = precision if isinstance(precision, tuple) else (precision,)
    if any(p is not None and p.__class__.__name__ != "Precision" for p in given):
        return NotImplemented
    precision = given[0] if len(set(given)) == 1 else given
    return conv.conv_general_dilated(
        x, y, window_strides, padding, lhs_dilation, rhs_dilation, numbers, feature_group_count, batch_group_count,
        precision, None if out.dtype == x.dtype else out.dtype,
    )  # fmt: skip


def _windowed(function):
    def rule(xs, outs, *, window_dimensions, window_strides, padding, base_dilation, window_dilation):
        return function(xs[0], window_dimensions, window_strides, padding, base_dilation, window_dilation)

    return rule


reads("reduce_window_sum")(_windowed(window.window_sum))
reads("reduce_window_max")(_windowed(window.window_max))
reads("reduce_window_min")(_windowed(window.window_min))


# -- Fourier


@reads("fft")
def _fft(xs, outs, *, fft_type, fft_lengths):
    (x,) = xs
    axes = tuple(range(x.ndim - len(fft_lengths), x.ndim))
    return fft.fft(x, kind=FftType(fft_type).name.lower(), axes=axes, lengths=fft_lengths)


# -- factorizations


@reads("cholesky")
def _cholesky(xs, outs, symmetrize_input=False):
    return NotImplemented if symmetrize_input else cholesky.cholesky(xs[0])


@reads("eigh")
def _eigh(xs, outs, *, lower, sort_eigenvalues=True, subset_by_index=None, algorithm=None):
    if not sort_eigenvalues or subset_by_index is not None or algorithm is not None:
        return NotImplemented
    values, vectors = eig.eigh(xs[0], lower=bool(lower))
    return vectors, values


@reads("eig")
def _eig(xs, outs, *, compute_left_eigenvectors, compute_right_eigenvectors, **how):
    if compute_left_eigenvectors or how.get("implementation") is not None:
        return NotImplemented
    return eig.eig(xs[0]) if compute_right_eigenvectors else eig.eigvals(xs[0])


@reads("lu")
def _lu(xs, outs):
    return lu.lu(xs[0])


@reads("lu_pivots_to_permutation")
def _permutation(xs, outs, *, permutation_size):
    return lu.pivots_to_permutation(xs[0], size=permutation_size)


@reads("qr")
def _qr(xs, outs, *, full_matrices, pivoting=False, use_magma=None):
    return NotImplemented if pivoting else qr.qr(xs[0], full=bool(full_matrices))


@reads("svd")
def _svd(xs, outs, *, full_matrices, compute_uv, subset_by_index=None, algorithm=None):
    if subset_by_index is not None or algorithm is not None:
        return NotImplemented
    if not compute_uv:
        return svd.svdvals(xs[0])
    u, s, vh = svd.svd(xs[0], full=bool(full_matrices))
    return s, u, vh


@reads("triangular_solve")
def _triangular_solve(xs, outs, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal):
    a, b = xs
    if conjugate_a and not transpose_a and a.dtype.kind == "c":
        return NotImplemented
    trans = ("C" if conjugate_a else "T") if transpose_a else "N"
    return triangular.triangular_solve(
        a, b, left=bool(left_side), lower=bool(lower), trans=trans, unit=bool(unit_diagonal)
    )


# -- random keys


@reads("random_seed")
def _seed(xs, outs, *, impl):
    return random.seed(xs[0], impl=random.impl_of(outs[0].dtype))


@reads("random_wrap")
def _wrap(xs, outs, *, impl):
    return random.wrap(xs[0], impl=random.impl_of(outs[0].dtype))


@reads("random_unwrap")
def _unwrap(xs, outs):
    return random.unwrap(xs[0])


@reads("random_split")
def _split(xs, outs, *, shape: Any):
    return random.split(xs[0], shape=shape)


@reads("random_fold_in")
def _fold_in(xs, outs):
    return random.fold_in(*xs) if xs[0].shape == xs[1].shape else NotImplemented


@reads("random_bits")
def _bits(xs, outs, *, bit_width, shape: Any):
    return random.draw("bits", xs[0], {}, shape=tuple(shape), dtype=np.dtype(f"uint{bit_width}"))


@reads("random_gamma")
def _gamma(xs, outs, *, log_space=False):
    key, a = xs
    return random.gamma(key, a, log_space=bool(log_space)) if key.shape == () else NotImplemented
