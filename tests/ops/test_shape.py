"""Movement of elements."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from gradlab.control.call import checkpoint_name
from gradlab.ir.errors import DTypeError, ShapeError
from gradlab.lower.compile import evaluate
from gradlab.lower.emit import emit
from gradlab.ops import shape as s
from gradlab.ops.operands import fill
from gradlab.ops.roll import roll
from tests.support import Case, stage, vjp_graph

RNG = np.random.default_rng(1)
V = RNG.normal(size=5)
M = RNG.normal(size=(3, 4))
T = RNG.normal(size=(2, 3, 4))
Z = M[:2] + 1j * M[1:]
INTS = np.arange(12).reshape(3, 4)
EMPTY = np.zeros((0, 3))
SCALAR = np.array(0.7)


def case(fn, *args, reference, **options):
    return Case(fn, args, reference, **options)


def padded(low, high, interior):
    config = tuple(zip(low, high, interior, strict=True))
    return {
        "fn": lambda x, v: s.pad(x, v, low, high, interior),
        "reference": lambda x, v: lax.pad(x, v, config),
    }


CASES = {
    "broadcast": case(
        lambda x: s.broadcast(x, (2, 3, 4), (1, 2)), M, reference=lambda x: jnp.broadcast_to(x, (2, 3, 4))
    ),
    "broadcast.inner": case(
        lambda x: s.broadcast(x, (3, 2, 4), (0, 2)),
        M,
        reference=lambda x: jnp.broadcast_to(x[:, None], (3, 2, 4)),
        widths=(),
    ),
    "broadcast.grown": case(
        lambda x: s.broadcast(x, (2, 3, 4), (1, 2)),
        M[:, :1],
        reference=lambda x: jnp.broadcast_to(x, (2, 3, 4)),
        widths=(),
    ),
    "broadcast.scalar": case(lambda x: s.broadcast_to(x, (2, 0)), SCALAR, reference=lambda x: jnp.full((2, 0), x)),
    "reshape": case(lambda x: s.reshape(x, (2, 6)), M, reference=lambda x: jnp.reshape(x, (2, 6))),
    "reshape.scalar": case(lambda x: s.reshape(x, (1, 1)), SCALAR, reference=lambda x: x[None, None], widths=()),
    "reshape.empty": case(lambda x: s.reshape(x, (2, 0)), EMPTY, reference=lambda x: jnp.zeros((2, 0)), widths=()),
    "permute": case(lambda x: s.permute(x, (2, 0, 1)), T, reference=lambda x: jnp.transpose(x, (2, 0, 1))),
    "permute.matrix": case(lambda x: s.permute(x, (1, 0)), Z, reference=jnp.transpose, widths=("float32",)),
    "permute.moveaxis": case(lambda x: s.moveaxis(x, 0, 2), T, reference=lambda x: jnp.moveaxis(x, 0, 2), widths=()),
    "reshape.expand_dims": case(
        lambda x: s.expand_dims(x, (0, 2)), M, reference=lambda x: jnp.expand_dims(x, (0, 2)), widths=()
    ),
    "reshape.squeeze": case(lambda x: s.squeeze(x, (1,)), M[:, :1], reference=lambda x: x[:, 0], widths=()),
    "reshape.merge_axes": case(
        lambda x: s.merge_axes(x, (2, 0))[0], T, reference=lambda x: x.transpose(1, 0, 2).reshape(3, 8), widths=()
    ),
    "reshape.merge_neighbours": case(
        lambda x: s.merge_axes(x, (0, 1))[0], T, reference=lambda x: x.reshape(6, 4), widths=()
    ),
    "roll": case(lambda x: roll(x, 1, 1), M, reference=lambda x: jnp.roll(x, 1, 1)),
    "roll.back": case(lambda x: roll(x, -2, 2), T, reference=lambda x: jnp.roll(x, -2, 2), widths=()),
    "roll.int": case(lambda x: roll(x, 5, 0), INTS, reference=lambda x: jnp.roll(x, 5, 0)),
    "checkpoint_name": case(lambda x: checkpoint_name(x, "here"), M, reference=lambda x: x),
    "rev": case(lambda x: s.rev(x, (1,)), M, reference=lambda x: x[:, ::-1]),
    "rev.two": case(lambda x: s.rev(x, (2, 0)), T, reference=lambda x: x[::-1, :, ::-1], widths=()),
    "rev.int": case(lambda x: s.rev(x, (0,)), INTS, reference=lambda x: x[::-1]),
    "slice": case(lambda x: s.slice_(x, (1, 0), (3, 4), (1, 2)), M, reference=lambda x: x[1:3, ::2]),
    "slice.offset": case(
        lambda x: s.slice_(x, (0, 1, 1), (2, 3, 4), (1, 1, 2)), T, reference=lambda x: x[:, 1:3, 1:4:2]
    ),
    "slice.empty": case(lambda x: s.slice_(x, (2, 0), (2, 4)), M, reference=lambda x: x[2:2], widths=()),
    "slice.of_empty": case(
        lambda x: s.slice_(x, (0, 1), (0, 3), (1, 2)), EMPTY, reference=lambda x: x[:, 1:3:2], widths=()
    ),
    "slice.split": case(
        lambda x: tuple(s.split(x, (1, 0, 3), axis=1)),
        M,
        reference=lambda x: tuple(jnp.split(x, (1, 1), axis=1)),
        widths=(),
    ),
    "concatenate": case(
        lambda x, y: s.concatenate([x, y, x], 0), M, T[1], reference=lambda x, y: jnp.concatenate([x, y, x])
    ),
    "concatenate.inner": case(
        lambda x, y: s.concatenate([x, y], 1),
        M,
        T[0, :, :0],
        reference=lambda x, y: jnp.concatenate([x, y], 1),
        widths=(),
    ),
    "concatenate.one_active": case(
        lambda x, y: s.concatenate([x, y], 1),
        M,
        T[0],
        reference=lambda x, y: jnp.concatenate([x, y], 1),
        active=(False, True),
        widths=(),
    ),
    "pad": Case(args=(M, SCALAR), **padded((1, 0), (0, 2), (0, 1))),
    "pad.negative": Case(args=(T, SCALAR), **padded((-1, 1, -2), (1, -1, 0), (0, 0, 2)), widths=()),
    "pad.empty": Case(args=(EMPTY, SCALAR), **padded((1, 0), (1, 0), (2, 0)), widths=()),
    "pad.of_scalar": Case(args=(SCALAR, SCALAR), **padded((), (), ()), widths=()),
    "pad.int": Case(args=(INTS, np.array(3)), **padded((1, 0), (0, 2), (0, 1))),
    "pad.zero": case(
        lambda x: s.pad(x, 0, (2,), (1,)), V, reference=lambda x: jnp.pad(x, (2, 1)), widths=("float32", "bfloat16")
    ),
    "iota": case(
        lambda x: (s.iota("int32", (3, 4), 1), s.iota("float64", (5,))),
        V,
        reference=lambda x: (lax.broadcasted_iota(jnp.int32, (3, 4), 1), jnp.arange(5.0)),
        order=0,
        widths=(),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_primitive(name):
    CASES[name].check()


def test_the_source_reads_as_one_would_write_it():
    assert "t0[1:, ::2]" in emit(stage(CASES["slice"].fn, (M,)))
    assert "[:, 1:2]" in emit(stage(lambda x: s.slice_in_dim(x, 1, 2, axis=1), (M,)))
    assert "jnp.concatenate([" in emit(stage(lambda x: s.concatenate([x, x], 0), (M,)))
    assert "jnp.arange(5, dtype=jnp.int32)" in emit(stage(lambda x: s.iota("int32", (5,)), (M,)))


def test_what_moves_nothing_is_not_written():
    def nothing(x):
        x = s.reshape(s.permute(s.broadcast_to(x, (3, 4)), (0, 1)), (3, 4))
        return s.concatenate([s.pad(s.slice_(s.rev(x, ()), (0, 0), (3, 4)), 0.0, (0, 0), (0, 0))], 1)

    assert not stage(nothing, (M,)).eqns


def test_a_literal_stays_one():
    graph = stage(lambda x: s.permute(s.reshape(s.broadcast_to(fill(2.0, x.aval), (3, 2)), (2, 3)), (1, 0)), (V[:2],))
    assert not graph.eqns and graph.outputs[0].shape == (3, 2)


def test_an_infinite_cotangent_of_an_element_does_not_reach_the_padding():
    graph = stage(lambda x, v: s.pad(x, v, (1,), (0,)), (V, SCALAR))
    back, _, _ = vjp_graph(graph, (True, True))
    (_, ct) = evaluate(back, [V, SCALAR, np.array([2.0, np.inf, 1, 1, 1, 1])])
    assert ct == 2.0


@pytest.mark.parametrize(
    ("fn", "args", "error", "remedy"),
    [
        (lambda x: s.broadcast(x, (3, 5), (0, 1)), (M,), ShapeError, "match or be 1"),
        (lambda x: s.broadcast_to(x, (4,)), (M,), ShapeError, "Reduce or reshape"),
        (lambda x: s.reshape(x, (5,)), (M,), ShapeError, "as many elements"),
        (lambda x: s.squeeze(x, (0,)), (M,), ShapeError, "size 1"),
        (lambda x: s.slice_(x, (0, 3), (3, 5)), (M,), ShapeError, "start <= limit"),
        (lambda x: s.split(x, (1, 1), axis=0), (M,), ShapeError, "add up"),
        (lambda x, y: s.concatenate([x, y], 0), (M, V), ShapeError, "agree on the other axes"),
        (lambda x, y: s.concatenate([x, y], 0), (M, INTS), ShapeError, "one dtype"),
        (lambda x: s.pad(x, 0.0, (-3,), (-3,)), (V,), ShapeError, "cut off more"),
        (lambda x, v: s.pad(x, v, (1,), (1,)), (V, V), ShapeError, "scalar value"),
        (lambda x: s.iota(bool, (3,)), (V,), DTypeError, "iota needs a dtype"),
    ],
)
def test_errors_say_what_to_do(fn, args, error, remedy):
    with pytest.raises(error, match=remedy):
        stage(fn, args)
