"""Functions of matrices whose derivatives are of their kind: exponential, square root, Sylvester's equation."""

from __future__ import annotations

from functools import reduce
from typing import Any

from ...ir.errors import ShapeError
from ...ir.graph import Aval
from ...ir.primitive import Primitive, Refused
from ...ir.work import Work
from ...trace.builder import bind1
from ..arith import add, neg, sub
from ..costs import of_matrix
from .matrix import above, batch_stacks, beside, columns_of, dot, require_matrices, rows_of, transpose, zeros


def _mapped(text: str, ndim: int, *operands: Any) -> str:
    """A call of a function of single matrices, on stacks."""
    for _ in range(ndim - 2):
        text = f"jax.vmap({text})"
    return f"{text}({', '.join(operands)})"


# -- the exponential


def expm(a: Any, *, upper_triangular: bool = False, max_squarings: int = 16) -> Any:
    """The exponential of square matrices, by scaling and squaring."""
    return bind1(expm_p, a, upper_triangular=bool(upper_triangular), max_squarings=int(max_squarings))


def expm_frechet(a: Any, e: Any) -> Any:
    """The derivative of the exponential at a in the direction e, in which it is linear."""
    return bind1(expm_frechet_p, a, e)


def _square(name: str):
    def infer(*xs: Aval, **params: Any) -> tuple[Aval]:
        for x in xs:
            require_matrices(name, x, square=True)
            if x[:2] != xs[0][:2]:
                raise ShapeError(f"{name} needs matrices of one shape and dtype, got {', '.join(map(str, xs))}.")
        return (xs[0],)

    return infer


def _expm_emit(a, *, upper_triangular, max_squarings):
    more = ", upper_triangular=True" if upper_triangular else ""
    more += f", max_squarings={max_squarings}" if max_squarings != 16 else ""
    return f"jax.scipy.linalg.expm({a}{more})"


_SQUARINGS = Refused("how often expm squares its matrix depends on the norm of that")


def _sylvester_cost(outs: tuple[Aval, ...], a: Aval, b: Aval, c: Aval) -> Work:
    """Bartels and Stewart's: two Schur forms, and a triangular system between four products."""
    m, n = c.shape[-2:]
    stack = c.size // (m * n) if m * n else 0
    return Work(round(stack * (25 * m**3 + 25 * n**3 + 5 * m * m * n + 5 * m * n * n)))


expm_p = Primitive(
    name="expm",
    infer=_square("expm"),
    emit=_expm_emit,
    jvp=lambda xs, ts, **params: ((expm(*xs, **params),), (expm_frechet(xs[0], ts[0]),)),
    transpose=Refused("expm is not linear; only linear equations are transposed"),
    batch=batch_stacks(lambda: expm_p),
    cost=_SQUARINGS,
)


def expm_second(a: Any, e: Any, f: Any) -> Any:
    """The second derivative of the exponential at a in the directions e and f: in each it is linear."""
    return bind1(expm_second_p, a, e, f)


def _frechet_jvp(xs, tangents):
    (a, e), (da, de) = xs, tangents
    terms = [] if de is None else [expm_frechet(a, de)]
    if da is not None:
        terms.append(expm_second(a, e, da))
    return (expm_frechet(a, e),), (terms[0] if len(terms) == 1 else add(*terms),)


def _second_jvp(xs, tangents):
    """In e and f, itself; in a, the third derivative: the corner of the second one at [[a, da], [0, a]].

    There e stands twice on the diagonal, and so does f. The result must be seen to be linear in da, so da and f change
    places.
    """
    (a, e, f), (da, de, df) = xs, tangents
    terms = [] if de is None else [expm_second(a, de, f)]
    if df is not None:
        terms.append(expm_second(a, e, df))
    if da is not None:
        n = a.shape[-1]
        none = zeros(a, n, n)
        base, *along = (above(beside(x, y), beside(none, x)) for x, y in ((a, f), (e, none), (da, none)))
        terms.append(columns_of(rows_of(expm_second(base, *along), 0, n), n, 2 * n))
    return (expm_second(a, e, f),), (reduce(add, terms),)


def _second_transpose(cts, active, a, e, f):
    given = transpose(a), transpose(e if active[2] else f), cts[0]
    return (None, None, expm_second(*given)) if active[2] else (None, expm_second(*given), None)


def _frechet_emit(a, e):
    if a.aval.ndim == 2:
        return f"jax.scipy.linalg.expm_frechet({a}, {e}, compute_expm=False)"
    # Of a stack JAX would scale all matrices by one norm.
    return _mapped("(lambda a, e: jax.scipy.linalg.expm_frechet(a, e, compute_expm=False))", a.aval.ndim, a, e)


expm_frechet_p = Primitive(
    name="expm_frechet",
    infer=_square("expm_frechet"),
    emit=_frechet_emit,
    jvp=_frechet_jvp,
    transpose=lambda cts, active, a, e: (None, expm_frechet(transpose(a), cts[0])),
    batch=batch_stacks(lambda: expm_frechet_p),
    cost=_SQUARINGS,
)


def _second_emit(a, e, f):
    first = "jax.scipy.linalg.expm_frechet(x, e, compute_expm=False)"
    second = f"(lambda a, e, f: jax.jvp(lambda x: {first}, (a,), (f,))[1])"
    return _mapped(second, a.aval.ndim, a, e, f)


expm_second_p = Primitive(
    name="expm_second",
    infer=_square("expm_second"),
    emit=_second_emit,
    jvp=_second_jvp,
    transpose=_second_transpose,
    batch=batch_stacks(lambda: expm_second_p),
    cost=_SQUARINGS,
)


# -- Sylvester's equation


def sylvester(a: Any, b: Any, c: Any) -> Any:
    """X of a·X + X·b = c, for square a and b that have no eigenvalues λ and -λ in common."""
    return bind1(sylvester_p, a, b, c)


def _sylvester_infer(a: Aval, b: Aval, c: Aval) -> tuple[Aval]:
    require_matrices("solve_sylvester", a, square=True)
    require_matrices("solve_sylvester", b, square=True)
    if c.shape != (*a.shape[:-1], b.shape[-1]) or b.shape[:-2] != a.shape[:-2] or not a.dtype == b.dtype == c.dtype:
        raise ShapeError(f"solve_sylvester of {a} and {b} needs a right-hand side m×n of that dtype, got {c}.")
    return (c,)


def _sylvester_jvp(xs, tangents):
    (a, b, _), (da, db, dc) = xs, tangents
    x = sylvester(*xs)
    for moved in (None if da is None else dot(da, x), None if db is None else dot(x, db)):
        if moved is not None:
            dc = neg(moved) if dc is None else sub(dc, moved)
    return (x,), (None if dc is None else sylvester(a, b, dc),)


sylvester_p = Primitive(
    name="sylvester",
    infer=_sylvester_infer,
    emit=lambda a, b, c: _mapped("jax.scipy.linalg.solve_sylvester", a.aval.ndim, a, b, c),
    jvp=_sylvester_jvp,
    transpose=lambda cts, active, a, b, c: (None, None, sylvester(transpose(a), transpose(b), cts[0])),
    batch=batch_stacks(lambda: sylvester_p),
    cost=_sylvester_cost,
)


# -- the square root


def sqrtm(a: Any) -> Any:
    """The principal square root of square matrices, complex."""
    return bind1(sqrtm_p, a)


def _sqrtm_infer(a: Aval) -> tuple[Aval]:
    require_matrices("sqrtm", a, square=True)
    if a.dtype.kind != "c":
        raise ShapeError(f"sqrtm takes complex matrices, got {a}. Convert it first.")
    return (a,)


def _sqrtm_jvp(xs, tangents):
    """r·r = a, so r dr + dr r = da."""
    r = sqrtm(*xs)
    return (r,), (sylvester(r, r, tangents[0]),)


sqrtm_p = Primitive(
    name="sqrtm",
    infer=_sqrtm_infer,
    emit=lambda a: _mapped("jax.scipy.linalg.sqrtm", a.aval.ndim, a),
    jvp=_sqrtm_jvp,
    transpose=Refused("sqrtm is not linear; only linear equations are transposed"),
    batch=batch_stacks(lambda: sqrtm_p),
    cost=of_matrix(lambda n, _: 28 * n**3),
)
