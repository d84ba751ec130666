"""Functions of NumPy's that a tracer refuses: why, and what to write instead."""

from __future__ import annotations

_FILES = ("it writes values to a file, which do not exist while the program is read",
          "Return the array as a result, and save that")  # fmt: skip
_BY_VALUES = "the dtype or the sign of the result would depend on values"

_ONE_BY_ONE: dict[str, tuple[str, str]] = {
    **{f"numpy.{name}": _FILES for name in ("save", "savetxt", "savez", "savez_compressed")},
    **{
        f"numpy.lib.scimath.{name}": (_BY_VALUES, f"Write np.{name}(x.astype(complex)), or np.{name}(x)")
        for name in ("arccos", "arcsin", "arctanh", "log", "log10", "log2", "power", "sqrt")
    },
    "numpy.lib.scimath.logn": (_BY_VALUES, "Write np.log(x) / np.log(n)"),
}  # fmt: skip
_FAMILIES: dict[str, tuple[str, str]] = {
    "numpy.polynomial.polynomial.poly": (
        "gradlab.numpy has polynomials of one variable only",
        "Write np.einsum of powers of each variable",
    ),
    "numpy.char.": ("text has no derivative", "Keep text outside the function that is differentiated"),
    "numpy.strings.": ("text has no derivative", "Keep text outside the function that is differentiated"),
    "numpy.lib.recfunctions.": ("records are no arrays of numbers", "Use a dictionary of arrays, which is a pytree"),
    **{
        f"numpy.{name}": ("dates have no derivative", "Keep dates outside the function that is differentiated")
        for name in ("busday_count", "busday_offset", "datetime_as_string", "is_busday")
    },
}


def why_refused(name: str) -> tuple[str, str] | None:
    """(the reason, what to write instead) for a function given by its full name; None where it is not refused."""
    found = _ONE_BY_ONE.get(name)
    if found is None:
        found = next((why for start, why in _FAMILIES.items() if name.startswith(start)), None)
    return found
