"""Writes docs/coverage.md: every public function of jax.numpy, NumPy and the array API, and whether gradlab has it.

python docs/coverage.py          # writes the page
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

import gradlab.numpy as gnp
from gradlab.interop import array_api

PAGE = Path(__file__).with_name("coverage.md")
SPACES = ("", "linalg", "fft")
TRACED, CONCRETE, ABSENT = "yes", "concrete values only", "no"

_FILES = "reads or writes files; do it outside the function that is differentiated"
_DATES = "arrays hold numbers; there are no dates on an accelerator"
_PRINT = "prints numbers; call NumPy's on the result"
_STATE = "sets or shows how NumPy itself runs"
_MEMORY = "about memory, which a tracer has none of"
_COPIES = "about memory layout, which XLA decides; use asarray"
REASONS = {
    **dict.fromkeys(("fromregex", "genfromtxt", "loadtxt", "savetxt", "savez_compressed"), _FILES),
    **dict.fromkeys(("busday_count", "busday_offset", "datetime_as_string", "datetime_data"), _DATES),
    **dict.fromkeys(("is_busday", "isnat"), _DATES),
    **dict.fromkeys(
        ("array2string", "base_repr", "binary_repr", "format_float_positional", "format_float_scientific"), _PRINT
    ),
    **dict.fromkeys(
        ("get_include", "getbufsize", "geterr", "geterrcall", "info", "setbufsize", "seterr", "seterrcall")
        + ("show_config", "show_runtime", "test"),
        _STATE,
    ),
    **dict.fromkeys(("may_share_memory", "shares_memory", "nested_iters"), _MEMORY),
    **dict.fromkeys(("asanyarray", "ascontiguousarray", "asfortranarray", "isfortran", "require"), _COPIES),
    **dict.fromkeys(("copyto", "putmask"), "writes into its argument; write x.at[...].set(v), or where(mask, v, x)"),
    **dict.fromkeys(("asmatrix", "bmat"), "np.matrix has other operators; use arrays"),
    **dict.fromkeys(("common_type", "min_scalar_type", "mintypecode", "typename"), "NumPy's rules; use result_type"),
    "asarray_chkfinite": "raises by value; use isfinite(x).all()",
    "fix": "deprecated; use trunc",
    "row_stack": "deprecated; use vstack",
    "real_if_close": "its dtype depends on values; use real",
    "LinAlgError": "an exception: XLA cannot raise, a failed decomposition is NaN",
}
_METADATA = "about types, shapes or concrete data: the functions of jax.numpy itself"


def functions(space: ModuleType) -> Iterator[str]:
    """The public functions of a namespace (no types, constants or modules)."""
    for name in sorted(dir(space)):
        found = getattr(space, name)
        if (
            name not in ("install", "is_jax_tracer")
            and not name.startswith("_")
            and callable(found)
            and not isinstance(found, type | ModuleType)
        ):
            yield name


def spaces() -> Iterator[tuple[str, dict[str, ModuleType], ModuleType]]:
    """Each namespace: its prefix, the libraries' modules, and ours."""
    for name in SPACES:
        libraries = {"jax.numpy": jnp, "numpy": np, "array API": array_api}
        found = {label: getattr(module, name) if name else module for label, module in libraries.items()}
        yield f"{name}." if name else "", found, getattr(gnp, name) if name else gnp


def state(name: str, ours: ModuleType, jax_space: ModuleType) -> str:
    """Whether gradlab.numpy has the function, and whether it is more than jax.numpy's own."""
    found = getattr(ours, name, None)
    if found is None:
        return ABSENT
    return CONCRETE if found is getattr(jax_space, name, None) else TRACED


def rows() -> list[tuple[str, dict[str, bool], str]]:
    """(name, which libraries have it, state), in order."""
    out = []
    for prefix, libraries, ours in spaces():
        has = {label: set(functions(space)) for label, space in libraries.items()}
        for name in sorted(set().union(*has.values())):
            here = {label: name in names for label, names in has.items()}
            out.append((prefix + name, here, state(name, ours, libraries["jax.numpy"])))
    return out


def page() -> str:
    """The page's text, for the installed versions."""
    table = rows()
    of_jax = [how for _, here, how in table if here["jax.numpy"]]
    share = 100 * sum(how != ABSENT for how in of_jax) / len(of_jax)
    lines = [
        "# What gradlab.numpy covers",
        "",
        f"*Made by `python docs/coverage.py` for JAX {jax.__version__} and NumPy {np.__version__}; "
        "a test keeps it true.*",
        "",
        f"Of the {len(of_jax)} public functions of `jax.numpy`, `.linalg` and `.fft`, gradlab.numpy has "
        f"{sum(how != ABSENT for how in of_jax)} ({share:.1f} %); {sum(how == TRACED for how in of_jax)} of them take "
        f"tracers, the others are {_METADATA}.",
        "",
        "| function | jax.numpy | numpy | array API | gradlab.numpy | why not |",
        "|---|:-:|:-:|:-:|---|---|",
    ]
    for name, here, how in table:
        ticks = " | ".join("×" if here[label] else "" for label in ("jax.numpy", "numpy", "array API"))
        why = {ABSENT: REASONS.get(name.rpartition(".")[2], ""), CONCRETE: "no array computation"}.get(how, "")
        lines.append(f"| `{name}` | {ticks} | {how} | {why} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
