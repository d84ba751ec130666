"""The tools from a shell: `python -m gradlab COMMAND module:function --args '...'`."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import platform
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..api import cache_info, grad
from ..api.arguments import name_of
from ..ir.errors import ArgumentError, GradlabError
from ..ir.graph import is_inexact
from ..ir.where import INTERNAL, PACKAGE
from ..trace.avals import aval_of
from .checks import check_grads
from .cost import cost
from .diagnose import diagnose
from .draw import draw
from .report import report
from .source import show, source

_TEACHES = """\
A file model.py in which

    import gradlab.numpy as np
    def loss(w, x): return np.tanh(w @ x).sum()

is looked at with

    python -m gradlab source model.py:loss --args 'np.ones((3, 2)), np.ones(2)' --grad
    python -m gradlab diagnose model.py:loss --args 'np.ones((3, 2)), np.ones(2)'

COMMAND --help says more. The status is 0, 1 if something is wrong with the function, 2 if with the command."""
_PACKAGES = ("gradlab", "jax", "jaxlib", "numpy", "optax", "scipy", "matplotlib", "tqdm", "orbax-checkpoint")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, 1 where something is wrong with the function, 2 with the command."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    if options.command == "doctor":
        print(_doctor())
        return 0
    if options.x64:
        jax.config.update("jax_enable_x64", True)
    try:
        fun = _function(options.function)
        args = _arguments(options.args, vars(sys.modules[fun.__module__]) if fun.__module__ in sys.modules else {})
        _require_fitting(fun, args)
    except ArgumentError as error:
        print(f"gradlab: {error.message}", file=sys.stderr)
        return 2
    except Exception as error:
        return _users_own(error)
    try:
        return options.run(fun, args, options)
    except (GradlabError, AssertionError) as error:
        print(f"gradlab: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"gradlab: {error}", file=sys.stderr)
        return 2
    except Exception as error:
        return _users_own(error)


def _users_own(error: Exception) -> int:
    """Print an error of the user's code as Python does, but for the frames that are not his; the exit status."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not INTERNAL[f.filename]]
    trace = ["Traceback (most recent call last):\n", *traceback.format_list(frames)] if frames else []
    print("".join([*trace, *traceback.format_exception_only(error)]), end="", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m gradlab",
        description="Look at a function and its derivative.",
        epilog=_TEACHES,
        formatter_class=raw,
    )
    commands = parser.add_subparsers(dest="command", metavar="command")
    for name, (run, text, example) in _COMMANDS.items():
        sentence = f"{text[0].upper()}{text[1:]}."
        shown = f"example: python -m gradlab {name} model.py:loss --args 'np.ones((3, 2)), np.ones(2)'{example}"
        sub = commands.add_parser(name, help=text, description=sentence, epilog=shown, formatter_class=raw)
        sub.set_defaults(run=run)
        sub.add_argument("function", help="module:function, or path/to/file.py:function (dots reach into classes)")
        sub.add_argument(
            "--args",
            default="",
            help="the arguments as Python, separated by commas; np, jnp, jax and what the module defines are known",
        )
        sub.add_argument("--x64", action="store_true", help="double precision (jax_enable_x64)")
        if name in ("show", "source", "draw"):
            sub.add_argument(
                "--grad", action="store_true", help="of the gradient by all real arguments, not the function"
            )
        if name in ("draw", "report"):
            sub.add_argument("-o", "--output", default=None, help=f"the file to write; {name}.html if not given")
    commands.add_parser("doctor", help="print versions, devices, precision and caches")
    return parser


def _function(where: str) -> Callable:
    module, colon, path = where.rpartition(":")
    if not colon or not module or not path:
        hint = f" Write {where}:loss for its function loss." if where.endswith(".py") else ""
        raise ArgumentError(f"a function is named as module:function or file.py:function, got {where!r}.{hint}")
    if module.endswith(".py"):
        found: Any = _from_file(Path(module))
    else:
        sys.path.insert(0, str(Path.cwd()))
        try:
            found = pkgutil.resolve_name(f"{module}:")
        except ModuleNotFoundError as error:
            raise ArgumentError(f"the module {module!r} cannot be imported from {Path.cwd()}: {error}.") from None
    for name in path.split("."):
        if not hasattr(found, name):
            known = ", ".join(sorted(k for k, v in vars(found).items() if callable(v) and not k.startswith("_"))[:12])
            raise ArgumentError(f"{module!r} has no {name!r}. It has: {known or 'no functions'}.")
        found = getattr(found, name)
    if not callable(found):
        raise ArgumentError(f"{where!r} is no function, but {type(found).__name__}.")
    return found


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise ArgumentError(f"there is no file {str(path)!r}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module


def _arguments(text: str, scope: dict[str, Any]) -> tuple:
    """The user's own expression, evaluated as he would in his shell."""
    try:
        return tuple(
            eval(
                f"({text.strip().removesuffix(',')},)" if text.strip() else "()",
                {**scope, "np": np, "jnp": jnp, "jax": jax},
            )
        )
    except Exception as error:
        raise ArgumentError(
            f"--args is Python for the arguments, separated by commas, got {text!r}: {type(error).__name__}: {error}. "
            "Write for example --args 'np.ones((3, 2)), 0.5'"
        ) from None


def _require_fitting(fun: Callable, args: tuple) -> None:
    try:
        signature = inspect.signature(fun)
    except (TypeError, ValueError):
        return
    try:
        signature.bind(*args)
    except TypeError as error:
        raise ArgumentError(
            f"{name_of(fun)}{signature} was given {len(args)} argument{'s' * (len(args) != 1)}: {error}. "
            "Pass them with --args, separated by commas."
        ) from None


def _asked(fun: Callable, args: tuple, options: argparse.Namespace) -> Callable:
    if not options.grad:
        return fun
    moving = [k for k, arg in enumerate(args) if all(is_inexact(aval_of(x).dtype) for x in jax.tree.leaves(arg))]
    return grad(fun, argnums=tuple(moving or range(len(args))))


def _show(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    show(_asked(fun, args, options))(*args)
    return 0


def _source(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    print(source(_asked(fun, args, options))(*args), end="")
    return 0


def _cost(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    print(cost(fun)(*args))
    return 0


def _check(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    check_grads(fun, args)
    print("the derivatives agree with differences, with each other, and in second order")
    return 0


def _diagnose(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    found = diagnose(fun)(*args)
    print(found)
    return 1 if any(one.kind == "non-finite" for one in found.findings) else 0


def _draw(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    path = options.output or "draw.html"
    draw(_asked(fun, args, options))(*args).save(path)
    print(path)
    return 0


def _report(fun: Callable, args: tuple, options: argparse.Namespace) -> int:
    path = options.output or "report.html"
    report(fun)(*args).save(path)
    print(path)
    return 0


_COMMANDS: dict[str, tuple[Callable, str, str]] = {
    "show": (_show, "print the program as gradlab holds it, with shapes, dtypes and lines", ""),
    "source": (_source, "print the jax.numpy program that runs", " --grad"),
    "cost": (_cost, "count operations, traffic and memory, of the function and its gradient", ""),
    "check": (
        _check,
        "check its derivatives against differences; status 1 and the equation at fault if they are wrong",
        " --x64",
    ),
    "diagnose": (_diagnose, "say why a gradient is zero, NaN, tiny or wrong in its digits; status 1 for NaN", ""),
    "draw": (_draw, "write a drawing of the program, .svg or .html", " --grad -o loss.svg"),
    "report": (_report, "write a page with all of this", " -o loss.html"),
}


def _doctor() -> str:
    rows = [("python", platform.python_version()), ("platform", platform.platform())]
    for package in _PACKAGES:
        try:
            rows.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            here = f", read from {PACKAGE}" if package == "gradlab" else ""
            rows.append((package, f"not installed{here}"))
    rows += [("device", f"{d.platform}:{d.id} {d.device_kind}") for d in jax.devices()]
    rows.append(("double precision", "on" if jax.config.jax_enable_x64 else "off (jax_enable_x64)"))  # type: ignore[attr-defined]
    rows.append(("compilation cache", str(jax.config.jax_compilation_cache_dir or "none (jax_compilation_cache_dir)")))  # type: ignore[attr-defined]
    rows.append(("graph cache", str(cache_info())))
    works = float(grad(lambda x: x * x)(3.0)) == 6.0
    rows.append(("grad of x² at 3", "6.0, as it should be" if works else "wrong!"))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows)
