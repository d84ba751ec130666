"""Passes: graph to graph, values kept. The modules named here add rules to `simplify`."""

from . import logistics as logistics
from . import rolls as rolls
