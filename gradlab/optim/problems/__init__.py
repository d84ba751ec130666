"""Functions to minimise whose minima are known, to measure optimizers on.

`more_garbow_hillstrom()`, `bounded()` and `learning()` list them; each is also a function of its own, which takes the
dimension where the source leaves it open: `problems.watson(9)`. `gradlab.optim.problems.digits` needs scikit-learn.
"""

from __future__ import annotations

from .boxes import boxed_osborne_1 as boxed_osborne_1
from .boxes import capped_rosenbrock as capped_rosenbrock
from .boxes import capped_wood as capped_wood
from .boxes import hs1 as hs1
from .boxes import hs2 as hs2
from .boxes import hs3 as hs3
from .boxes import hs4 as hs4
from .boxes import hs5 as hs5
from .boxes import hs25 as hs25
from .boxes import hs38 as hs38
from .boxes import hs45 as hs45
from .boxes import hs110 as hs110
from .boxes import nonnegative_fit as nonnegative_fit
from .boxes import obstacle as obstacle
from .boxes import sparse_logistic as sparse_logistic
from .boxes import torsion as torsion
from .fitting import bard as bard
from .fitting import beale as beale
from .fitting import biggs_exp6 as biggs_exp6
from .fitting import box as box
from .fitting import brown_badly_scaled as brown_badly_scaled
from .fitting import brown_dennis as brown_dennis
from .fitting import freudenstein_roth as freudenstein_roth
from .fitting import gaussian as gaussian
from .fitting import gulf as gulf
from .fitting import helical_valley as helical_valley
from .fitting import jennrich_sampson as jennrich_sampson
from .fitting import kowalik_osborne as kowalik_osborne
from .fitting import meyer as meyer
from .fitting import osborne_1 as osborne_1
from .fitting import osborne_2 as osborne_2
from .fitting import powell_badly_scaled as powell_badly_scaled
from .fitting import powell_singular as powell_singular
from .fitting import rosenbrock as rosenbrock
from .fitting import wood as wood
from .record import Problem as Problem
from .sets import bounded as bounded
from .sets import learning as learning
from .sets import more_garbow_hillstrom as more_garbow_hillstrom
from .statistics import gp_marginal_likelihood as gp_marginal_likelihood
from .statistics import logistic_regression as logistic_regression
from .statistics import matrix_factorisation as matrix_factorisation
from .statistics import phase_retrieval as phase_retrieval
from .statistics import quadratic as quadratic
from .systems import brown_almost_linear as brown_almost_linear
from .systems import broyden_banded as broyden_banded
from .systems import broyden_tridiagonal as broyden_tridiagonal
from .systems import chebyquad as chebyquad
from .systems import discrete_boundary_value as discrete_boundary_value
from .systems import discrete_integral_equation as discrete_integral_equation
from .systems import extended_powell_singular as extended_powell_singular
from .systems import extended_rosenbrock as extended_rosenbrock
from .systems import linear_full_rank as linear_full_rank
from .systems import linear_rank_1 as linear_rank_1
from .systems import linear_rank_1_with_zeros as linear_rank_1_with_zeros
from .systems import penalty_1 as penalty_1
from .systems import penalty_2 as penalty_2
from .systems import trigonometric as trigonometric
from .systems import variably_dimensioned as variably_dimensioned
from .systems import watson as watson
