"""Modules that are imported on first use: the import of gradlab pays for none of them, and threads may ask at once."""

from __future__ import annotations

import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

from gradlab.ir.extras import Later

HEAVY = ("scipy.sparse", "matplotlib", "orbax", "tensorboardX", "sklearn")


def test_importing_gradlab_imports_nothing_heavy():
    ask = f"import sys, gradlab; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-W", "error", "-c", ask], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_threads_that_ask_at_once_get_the_whole_module(tmp_path, monkeypatch):
    (tmp_path / "slow_to_import.py").write_text("import time\nfirst = 1\ntime.sleep(0.2)\nlast = 2\n")
    monkeypatch.syspath_prepend(tmp_path)
    module = Later("slow_to_import")
    assert "slow_to_import" not in sys.modules
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: module.last, range(4))) == [2] * 4
    assert isinstance(module, types.ModuleType) and {"first", "last"} <= set(dir(module))
