"""Settings every test runs under: 64-bit numbers, and XLA's executables kept from one run to the next."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or tempfile.gettempdir()) / "gradlab-tests-xla"
jax.config.update("jax_compilation_cache_dir", str(_CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
