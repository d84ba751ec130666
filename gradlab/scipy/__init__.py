"""`gradlab.scipy`: functions by the names that jax.scipy has for them."""

from ..numpy import special as special
from . import linalg as linalg
