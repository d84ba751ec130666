"""The public transformations: differentiate, vectorise, compile, look."""

from .calling import cache_clear as cache_clear
from .calling import cache_info as cache_info
from .custom import checkpoint as checkpoint
from .custom import custom_jvp as custom_jvp
from .custom import custom_vjp as custom_vjp
from .custom import stop_gradient as stop_gradient
from .derivatives import grad as grad
from .derivatives import jvp as jvp
from .derivatives import linear_transpose as linear_transpose
from .derivatives import linearize as linearize
from .derivatives import value_and_grad as value_and_grad
from .derivatives import vjp as vjp
from .jacobians import hessian as hessian
from .jacobians import hvp as hvp
from .jacobians import jacfwd as jacfwd
from .jacobians import jacobian as jacobian
from .jacobians import jacrev as jacrev
from .jacobians import value_and_jacobian as value_and_jacobian
from .jitting import jit as jit
from .looking import source as source
from .looking import stage as stage
from .vectorize import vmap as vmap
