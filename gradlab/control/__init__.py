"""Programs inside programs: loops, branches, calls, functions with rules of their own; and the passes that know them."""

from . import lean as lean
