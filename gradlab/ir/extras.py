"""Optional packages: one that is missing says which extra brings it, one that loads slowly does so on first use."""

from __future__ import annotations

import importlib
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


class Later(ModuleType):
    """Stands where a module would that is imported when an attribute of it is first asked for, by any thread.

    For modules on top of packages that take longer to import than most programs need them for (Matplotlib and Orbax
    half a second each, scipy's sparse matrices a quarter).
    """

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)

    def __dir__(self) -> list[str]:
        return dir(importlib.import_module(self.__name__))
