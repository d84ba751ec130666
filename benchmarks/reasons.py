"""Why a gradient of gradlab's costs more or less than JAX's: found by comparing the two programs (`gradlab.source`)."""

from __future__ import annotations

REASONS: dict[str, str] = {}
