"""The problems by the set: what a benchmark runs."""

from __future__ import annotations

from . import boxes, fitting, statistics, systems
from .record import Problem


def more_garbow_hillstrom() -> tuple[Problem, ...]:
    """The 35 problems of the paper, 42 of them with those whose dimension varies at more than one."""
    f, s = fitting, systems
    return (
        f.rosenbrock(), f.freudenstein_roth(), f.powell_badly_scaled(), f.brown_badly_scaled(), f.beale(),
        f.jennrich_sampson(), f.helical_valley(), f.bard(), f.gaussian(), f.meyer(), f.gulf(), f.box(),
        f.powell_singular(), f.wood(), f.kowalik_osborne(), f.brown_dennis(), f.osborne_1(), f.biggs_exp6(),
        f.osborne_2(), s.watson(6), s.watson(9), s.watson(12), s.extended_rosenbrock(10), s.extended_rosenbrock(100),
        s.extended_powell_singular(12), s.penalty_1(4), s.penalty_1(10), s.penalty_2(4), s.penalty_2(10),
        s.variably_dimensioned(10), s.trigonometric(10), s.brown_almost_linear(10), s.discrete_boundary_value(10),
        s.discrete_integral_equation(10), s.broyden_tridiagonal(10), s.broyden_banded(10), s.linear_full_rank(10),
        s.linear_rank_1(10), s.linear_rank_1_with_zeros(10), s.chebyquad(8), s.chebyquad(9), s.chebyquad(10),
    )  # fmt: skip


def bounded() -> tuple[Problem, ...]:
    """Problems with simple bounds: nine of Hock and Schittkowski's, seven of our own."""
    b = boxes
    return (
        b.hs1(), b.hs2(), b.hs3(), b.hs4(), b.hs5(), b.hs25(), b.hs38(), b.hs45(), b.hs110(), b.capped_rosenbrock(),
        b.obstacle(), b.nonnegative_fit(), b.torsion(), b.sparse_logistic(), b.capped_wood(), b.boxed_osborne_1(),
    )  # fmt: skip


def learning() -> tuple[Problem, ...]:
    """Problems of machine learning that need no library but this one. Networks are in `digits`."""
    s = statistics
    return (s.logistic_regression(), s.gp_marginal_likelihood(), s.matrix_factorisation(), s.phase_retrieval())
