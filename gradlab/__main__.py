"""`python -m gradlab`: the tools, from a shell."""

from __future__ import annotations

import sys

from .tools.command import main

if __name__ == "__main__":
    sys.exit(main())
