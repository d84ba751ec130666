"""Other array dialects on tracers. Importing it makes NumPy's own functions answer for them."""

from . import array_api as array_api
from . import jax_in as jax_in
from . import numpy_protocols as numpy_protocols
