"""Optional packages: one that is missing says which extra brings it, one that loads slowly does so on first use."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any

from .errors import MissingExtraError


class Missing:
    """Stands where an optional module would: using it says what to install.

    **Arguments:** `package`: its name for pip; `extra`: the extra of gradlab that brings it; `purpose`: what needs it.
    """

    def __init__(self, package: str, extra: str, purpose: str):
        self._wanted = (package, extra, purpose)

    def __bool__(self) -> bool:
        return False

    def __call__(self, *_: Any, **__: Any) -> Any:
        return self.module

    def __getattr__(self, name: str) -> Any:
        package, extra, purpose = self._wanted
        raise MissingExtraError(
            f"{purpose} needs the package {package}, which is not installed. Write: pip install 'gradlab[{extra}]'"
        )


def later(name: str) -> ModuleType:
    """A module of ours that is loaded when an attribute of it is first asked for.

    For modules on top of packages that take longer to import than most programs need them for (Matplotlib and Orbax:
    half a second each).
    """
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.loader is not None, name
    spec.loader = importlib.util.LazyLoader(spec.loader)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
