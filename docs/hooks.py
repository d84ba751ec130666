"""Docstrings on the site: `**Returns:**` and its like begin a line of their own."""

from __future__ import annotations

import re
from typing import Any

_FIELD = re.compile(r"\s*(<strong>(?:Arguments|Returns|Raises|Attributes|Source):</strong>)")


def on_page_content(html: str, **_: Any) -> str:
    return _FIELD.sub(r"<br>\1", html).replace("<p><br>", "<p>")
