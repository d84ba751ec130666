"""Programs inside programs: loops, branches, calls, functions with rules of their own; passes that know them."""

from . import abreast as abreast
from . import lean as lean
