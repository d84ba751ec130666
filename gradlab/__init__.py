"""gradlab: differentiate array programs. Read a Python function, rewrite it, write it out as jax.numpy.

Every public name is listed here, once.
"""

from . import interop as interop
from . import numpy as numpy
from . import random as random
from . import scipy as scipy
from .api import associative_scan as associative_scan
from .api import cache_clear as cache_clear
from .api import cache_info as cache_info
from .api import checkpoint as checkpoint
from .api import checkpoint_name as checkpoint_name
from .api import cond as cond
from .api import custom_jvp as custom_jvp
from .api import custom_linear_solve as custom_linear_solve
from .api import custom_root as custom_root
from .api import custom_vjp as custom_vjp
from .api import fori_loop as fori_loop
from .api import grad as grad
from .api import hessian as hessian
from .api import hvp as hvp
from .api import jacfwd as jacfwd
from .api import jacobian as jacobian
from .api import jacrev as jacrev
from .api import jit as jit
from .api import jvp as jvp
from .api import linear_transpose as linear_transpose
from .api import linearize as linearize
from .api import map as map
from .api import rerolling as rerolling
from .api import scan as scan
from .api import stage as stage
from .api import stop_gradient as stop_gradient
from .api import switch as switch
from .api import value_and_grad as value_and_grad
from .api import value_and_jacobian as value_and_jacobian
from .api import vjp as vjp
from .api import vmap as vmap
from .api import while_loop as while_loop
from .interop.jax_in import from_jax as from_jax
from .optim.fixed_point import fixed_point as fixed_point
from .tools import GradientTape as GradientTape
from .tools import Variable as Variable
from .tools import check_grads as check_grads
from .tools import cost as cost
from .tools import diagnose as diagnose
from .tools import draw as draw
from .tools import numeric as numeric
from .tools import report as report
from .tools import show as show
from .tools import source as source
