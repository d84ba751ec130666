"""Between kinds of numbers: dtype conversion, and a complex number's parts. Linear over the reals."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ir.errors import DTypeError
from ..ir.graph import Aval, Lit, is_inexact
from ..ir.primitive import Primitive
from ..trace.builder import bind, bind1
from .compare import ne
from .costs import EACH, MOVES
from .families import batch_elementwise, linear, neg_p, no_derivative, unary_linear
from .operands import BOOL, dtype_text, fill, kind, require_kind, same_type, zeros_like

_PART = {np.dtype("complex64"): np.dtype("float32"), np.dtype("complex128"): np.dtype("float64")}
_WHOLE = {part: whole for whole, part in _PART.items()}


def part_dtype(dtype: np.dtype) -> np.dtype:
    """The dtype of a complex number's real part; any other dtype is its own."""
    return _PART.get(dtype, dtype)


# -- parts


def conj(x: Any) -> Any:
    return bind1(conj_p, x)


def real(x: Any) -> Any:
    return bind1(real_p, x)


def imag(x: Any) -> Any:
    return bind1(imag_p, x)


def complex(re: Any, im: Any) -> Any:
    return bind1(complex_p, re, im)


def _conj_infer(x: Aval) -> tuple[Aval]:
    require_kind("conj", x, "c")
    return (x,)


def _part_infer(name: str):
    def infer(x: Aval) -> tuple[Aval]:
        require_kind(name, x, "c")
        return (x.retyped(part_dtype(x.dtype), x.weak),)

    return infer


# Transposes pair ct and t by Re Σ ct·t, conjugating neither, as JAX does.
conj_p = unary_linear(
    "conj",
    emit="jnp.conj({})",
    call="conj",
    infer=_conj_infer,
    fold=np.conjugate,
    transpose=lambda cts, active, x: (conj(cts[0]),),
)
real_p = unary_linear(
    "real",
    emit="jnp.real({})",
    call="real",
    infer=_part_infer("real"),
    fold=np.real,
    transpose=lambda cts, active, x: (complex(cts[0], zeros_like(cts[0])),),
    cost=MOVES,
)
imag_p = unary_linear(
    "imag",
    emit="jnp.imag({})",
    call="imag",
    infer=_part_infer("imag"),
    fold=np.imag,
    transpose=lambda cts, active, x: (complex(zeros_like(cts[0]), bind1(neg_p, cts[0])),),
    cost=MOVES,
)


def _complex_infer(re: Aval, im: Aval) -> tuple[Aval]:
    out = same_type("complex", re, im)
    if out.dtype not in _WHOLE:
        raise DTypeError(
            f"complex needs parts of float32 or float64, got {re} and {im}. Convert them with .astype(...)."
        )
    return (out.retyped(_WHOLE[out.dtype], out.weak),)


def _complex_transpose(cts, active, re, im):
    (ct,) = cts
    return real(ct) if active[0] else None, bind1(neg_p, imag(ct)) if active[1] else None


complex_p = Primitive(
    name="complex",
    infer=_complex_infer,
    emit="lax.complex({}, {})".format,
    jvp=linear(lambda: complex_p),
    transpose=_complex_transpose,
    batch=batch_elementwise(lambda: complex_p),
    cost=MOVES,
)


# -- dtypes


def convert(x: Any, *, dtype: Any) -> Any:
    """`x` in another dtype, never weakly typed. A complex number becomes its real part, or its truth."""
    dtype = np.dtype(dtype)
    if x.dtype == dtype and not x.aval.weak:
        return x
    if x.dtype.kind == "c" and dtype.kind != "c":
        return ne(x, zeros_like(x)) if dtype == BOOL else convert(real(x), dtype=dtype)
    if isinstance(x, Lit):
        number = _convert_fold(np.asarray(x.value, x.dtype)[()], dtype=dtype)
        if number is not None:
            return fill(number.item(), x.aval.retyped(dtype))
    return bind1(convert_p, x, dtype=dtype)


def _convert_infer(x: Aval, *, dtype: np.dtype) -> tuple[Aval]:
    if x.dtype.kind == "c" and dtype.kind != "c":
        raise DTypeError(f"convert keeps complex numbers complex, got {x} for {dtype}. Take real(x) first.")
    return (x.retyped(dtype),)


def _convert_fold(x: Any, *, dtype: np.dtype) -> Any:
    if kind(dtype) in "iu":
        # Out of range, NumPy's result is the machine's choice; XLA's is the nearest end.
        limits = np.iinfo(dtype)
        if not np.isfinite(x) or not limits.min <= int(x) <= limits.max:
            return None
    return x.astype(dtype)


def _convert_jvp(xs, tangents, *, dtype):
    (x,), (dx,) = xs, tangents
    moves = is_inexact(x.dtype) and is_inexact(dtype)
    return bind(convert_p, x, dtype=dtype), (bind1(convert_p, dx, dtype=dtype) if moves else None,)


def _convert_transpose(cts, active, x, *, dtype):
    return (convert(cts[0], dtype=x.dtype),)


convert_p = Primitive(
    name="convert",
    infer=_convert_infer,
    emit=lambda x, *, dtype: f"{x}.astype({dtype_text(dtype)})",
    call=lambda x, *, dtype: f"lax.convert_element_type({x}, {dtype_text(dtype)})",
    jvp=_convert_jvp,
    transpose=_convert_transpose,
    batch=lambda xs, dims, *, dtype: (bind(convert_p, *xs, dtype=dtype), dims),
    cost=EACH,
    scalars=True,
    fold=_convert_fold,
)


def stop_gradient(x: Any) -> Any:
    """`x`, constant to every derivative."""
    return bind1(stop_gradient_p, x)


stop_gradient_p = no_derivative("stop_gradient", infer=lambda x: (x,), emit="lax.stop_gradient({})", cost=MOVES)
