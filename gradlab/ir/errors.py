"""Every exception gradlab raises, each also the nearest built-in.

A message says what was needed, what came, and what to write instead; the user's own line ends it.
"""

from __future__ import annotations

from typing import Self

from .where import Where, here


class GradlabError(Exception):
    """The root of every error raised on a user's mistake. Its text ends with the user's line that was running."""

    def __init__(self, message: str = ""):
        super().__init__(message)
        self._running = here()
        self.line: str | None = None

    def at(self, line: Where | str | None) -> Self:
        """The same error, naming the line where the program at fault was written: the first one given holds."""
        if self.line is None and line is not None:
            self.line = str(line)
        return self

    @property
    def message(self) -> str:
        """The text without the line."""
        return super().__str__()

    def __str__(self) -> str:
        line = self.line or self._running
        return self.message if line is None else f"{self.message}\n  at {line}"


class ShapeError(GradlabError, ValueError):
    """Operands whose shapes do not fit together."""


class AxisError(ShapeError, IndexError):
    """An axis that an array does not have: as NumPy's error of this name, both a ValueError and an IndexError."""


class DTypeError(GradlabError, TypeError):
    """An operand or argument of a dtype the operation is not defined for."""


class ArgumentError(GradlabError, ValueError):
    """An argument of a transformation (argnums, in_axes, mode, ...) that names nothing or fits nothing."""


class StructureError(GradlabError, TypeError):
    """Pytrees that should have the same structure and do not, or leaves that are no arrays."""


class NonScalarError(GradlabError, TypeError):
    """`grad` of a function whose result is not a single real number."""


class ConcretizationError(GradlabError, TypeError):
    """Python asked for the value of a tracer that has none (under jit or vmap)."""


class EscapedTracerError(GradlabError, RuntimeError):
    """A tracer used after the trace that made it had ended."""


class ItemAssignmentError(GradlabError, TypeError):
    """`x[i] = v` where it cannot be honoured."""


class ConversionError(GradlabError, TypeError):
    """A function outside gradlab was handed a tracer it cannot take."""


class HandedTracerError(ConversionError):
    """Another library's function was handed a tracer; what calls it may still be read as a whole by that library."""


class IndexingError(GradlabError, IndexError):
    """An index that does not fit the array it indexes."""


class MissingExtraError(GradlabError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class MissingRuleError(GradlabError, NotImplementedError):
    """A primitive refuses the transformation asked of it; the message is its reason."""


class TapeError(GradlabError, RuntimeError):
    """A tape was asked for what it has not recorded, or has given away already."""


class SolveError(GradlabError, RuntimeError):
    """A solver whose caller wants the answer alone found none; the message is its status."""


class DerivativeError(GradlabError, AssertionError):
    """A derivative was checked and is not the function's; the message says where the two first part."""


class InvalidGraphError(GradlabError, AssertionError):
    """gradlab broke its own promise: a graph is malformed. Please report it."""
