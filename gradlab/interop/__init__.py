"""Other array dialects on tracers. Importing it makes NumPy's own functions answer for them."""

from . import numpy_protocols as numpy_protocols
