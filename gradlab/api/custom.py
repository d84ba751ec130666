"""`custom_jvp`, `custom_vjp`, `stop_gradient`: what the user says about a function's derivative."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Sequence
from functools import update_wrapper
from typing import Any

import jax

from ..control.custom import DEEP, SELF, Rules, custom_call
from ..ir.errors import ArgumentError, DTypeError, ShapeError, StructureError
from ..ir.graph import Aval, Graph, Var
from ..ops.convert import stop_gradient as stop_gradient_op
from ..trace.avals import aval_of
from ..trace.builder import AMBIENT, innermost
from ..trace.tracer import Held, Tracer
from .arguments import name_of, require_function, tree_flatten, tree_structure, tree_unflatten
from .calling import Reading
from .results import Results


def stop_gradient(x: Any) -> Any:
    """`x` (any pytree), with a derivative of zero."""
    leaves, tree = tree_flatten(x)
    leaves = [leaf.read() if isinstance(leaf, Held) else leaf for leaf in leaves]
    if innermost(leaves) is None:
        return jax.lax.stop_gradient(tree_unflatten(tree, leaves))
    return tree_unflatten(tree, [stop_gradient_op(leaf) if type(leaf) is Tracer else leaf for leaf in leaves])


class _Staging(threading.local):
    names: tuple = ()


_STAGING = _Staging()  # which custom functions' rules are being read on this thread, and for which arguments
_UNFOLDED = 4  # so many rules within rules of one function are read, where each call has other static arguments


class CustomDerivative:
    """A function with derivative rules of its own. Made by `custom_jvp` or `custom_vjp`; it may be given both rules."""

    def __init__(self, fun: Callable, nondiff_argnums: Sequence[int] = ()):
        self.fun = require_function(fun, "a custom derivative")
        self.nondiff_argnums = (nondiff_argnums,) if isinstance(nondiff_argnums, int) else tuple(nondiff_argnums)
        self._jvp: Callable | None = None
        self._fwd: Callable | None = None
        self._bwd: Callable | None = None
        self._native: Callable | None = None
        update_wrapper(self, fun)

    def defjvp(self, jvp: Callable) -> Callable:
        """Set the forward rule, `jvp(*nondiff_args, primals, tangents) -> (out, out_tangent)`. A decorator too."""
        self._jvp, self._native = jvp, None
        return jvp

    def defjvps(self, *jvps: Callable | None) -> None:
        """Set the forward rule from one per argument, `jvp_i(tangent_i, out, *args) -> out_tangent`; None for zero."""

        def rule(*args):
            *static, primals, tangents = args
            out = self(*self._joined(static, primals))
            terms = [
                jvp(t, out, *self._joined(static, primals))
                for jvp, t in zip(jvps, tangents, strict=True)
                if jvp is not None
            ]
            if not terms:
                return out, jax.tree_util.tree_map(lambda y: y * 0, out)
            total = terms[0]
            for term in terms[1:]:
                total = jax.tree_util.tree_map(lambda a, b: a + b, total, term)
            return out, total

        self.defjvp(rule)

    def defvjp(self, fwd: Callable, bwd: Callable) -> None:
        """Set the reverse rule: `fwd(*args) -> (out, residuals)`, `bwd(*nondiff_args, residuals, ct) -> cotangents`."""
        self._fwd, self._bwd, self._native = fwd, bwd, None

    # -- calling

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args = self._positional(args, kwargs)
        if self._jvp is None and self._fwd is None:
            raise StructureError(f"{name_of(self.fun)} has no derivative rule yet. Give it one with defjvp or defvjp.")
        if innermost(tree_flatten(args)[0]) is None:
            try:
                return self._as_jax()(*args)
            except TypeError:  # as in `checkpoint`: a closure over an open trace's values
                if not AMBIENT.stack:
                    raise
        return self._record(args)

    def _positional(self, args: tuple, kwargs: dict) -> tuple:
        if not kwargs:
            return args
        bound = inspect.signature(self.fun).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise ArgumentError(
                f"{name_of(self.fun)} has keyword-only parameters ({', '.join(bound.kwargs)}), which a custom rule "
                "cannot take. Make them positional."
            )
        return bound.args

    def _as_jax(self) -> Callable:
        """The same function for JAX's own tracers and for plain arrays, with the same rules."""
        if self._native is None:
            if self._fwd is not None and self._bwd is not None:
                native = jax.custom_vjp(self.fun, nondiff_argnums=self.nondiff_argnums)
                native.defvjp(self._fwd, self._bwd)
            else:
                native = jax.custom_jvp(self.fun, nondiff_argnums=self.nondiff_argnums)
                assert self._jvp is not None
                native.defjvp(self._jvp)
            self._native = native
        return self._native

    def _joined(self, static: Sequence[Any], moving: Sequence[Any]) -> list[Any]:
        """All arguments in order, from those not differentiated and those that are."""
        n = len(static) + len(moving)
        held = dict(zip([i % n for i in self.nondiff_argnums], static, strict=True))
        rest = iter(moving)
        return [held[i] if i in held else next(rest) for i in range(n)]

    # -- recording

    def _record(self, args: tuple) -> Any:
        name = name_of(self.fun)
        held = {i % len(args) for i in self.nondiff_argnums}
        static = [args[i] for i in sorted(held)]
        moving = tuple(a for i, a in enumerate(args) if i not in held)
        leaves, tree = tree_flatten(moving)
        chosen = [k for k, leaf in enumerate(leaves) if not isinstance(leaf, str | bool) and leaf is not None]
        xs = [leaves[k] for k in chosen]

        def rebuilt(new: Sequence[Any]) -> tuple:
            every = list(leaves)
            for k, x in zip(chosen, new, strict=True):
                every[k] = x
            return tree_unflatten(tree, every)

        fun, out_tree, out_avals, f_caps = _graph_of(
            lambda new: self.fun(*self._joined(static, rebuilt(new))), xs, None, self.fun
        )
        in_avals = [v.aval for v in fun.inputs[: len(xs)]]
        now = (self, tuple(in_avals), tuple([_identity(x) for x in static]))
        again = now in _STAGING.names
        if again or sum(self is one for one, _, _ in _STAGING.names) == _UNFOLDED:
            return tree_unflatten(out_tree, custom_call(fun, SELF if again else DEEP, [*xs, *f_caps]))
        kept = _STAGING.names
        _STAGING.names = (*kept, now)
        try:
            jvp, jvp_caps = self._stage_jvp(static, rebuilt, in_avals, out_tree, out_avals)
            fwd, bwd, fwd_caps, bwd_caps = self._stage_vjp(static, rebuilt, tree, chosen, in_avals, out_tree, out_avals)
        finally:
            _STAGING.names = kept
        captured = list({id(x): x for x in (*jvp_caps, *fwd_caps, *bwd_caps)}.values())
        rules = Rules(
            _widened(jvp, jvp_caps, captured), _widened(fwd, fwd_caps, captured), _widened(bwd, bwd_caps, captured),
            (len(f_caps), len(captured)), name,
        )  # fmt: skip
        outs = custom_call(fun, rules, [*xs, *f_caps, *captured])
        return tree_unflatten(out_tree, outs)

    def _stage_jvp(self, static, rebuilt, in_avals, out_tree, out_avals):
        jvp = self._jvp
        if jvp is None:
            return None, []
        n = len(in_avals)
        of = f"the jvp rule of {name_of(self.fun)}"

        def call(new):
            result = jvp(*static, rebuilt(new[:n]), rebuilt(new[n:]))
            if not isinstance(result, tuple | list) or len(result) != 2:
                raise StructureError(f"{of} must return (out, out_tangent), got {result!r}.")
            for what, tree in zip(("out", "out_tangent"), result, strict=True):
                _require_structure(tree_structure(tree), out_tree, f"{of} returned {what}")
            return tuple(result)

        graph, _, avals, caps = _graph_of(call, None, [*in_avals, *in_avals], jvp)
        for got, wanted in zip(avals, [*out_avals, *out_avals], strict=True):
            _require_aval(got, wanted, of)
        return graph, caps

    def _stage_vjp(self, static, rebuilt, in_tree, chosen, in_avals, out_tree, out_avals):
        fwd, bwd = self._fwd, self._bwd
        if fwd is None or bwd is None:
            return None, None, [], []
        of = f"the fwd rule of {name_of(self.fun)}"
        residual: dict[str, Any] = {}

        def call_fwd(new):
            result = fwd(*self._joined(static, rebuilt(new)))
            if not isinstance(result, tuple) or len(result) != 2:
                raise StructureError(f"{of} must return (out, residuals), got {result!r}.")
            out, kept = result
            _require_structure(tree_structure(out), out_tree, f"{of} returned out")
            leaves, residual["tree"] = tree_flatten(kept)
            residual["leaves"] = leaves
            residual["arrays"] = [k for k, leaf in enumerate(leaves) if type(leaf) is Tracer]
            return out, [leaves[k] for k in residual["arrays"]]

        fwd_graph, _, avals, fwd_caps = _graph_of(call_fwd, None, in_avals, fwd)
        for got, wanted in zip(avals, out_avals, strict=False):
            _require_aval(got, wanted, of)
        res_avals = avals[len(out_avals) :]

        def call_bwd(new):
            leaves = list(residual["leaves"])
            for k, x in zip(residual["arrays"], new, strict=False):
                leaves[k] = x
            cts = bwd(
                *static, tree_unflatten(residual["tree"], leaves), tree_unflatten(out_tree, new[len(res_avals) :])
            )
            return self._cotangents(cts, in_tree, chosen, in_avals)

        bwd_graph, _, avals, bwd_caps = _graph_of(call_bwd, None, [*res_avals, *out_avals], bwd)
        return fwd_graph, bwd_graph, fwd_caps, bwd_caps

    def _cotangents(self, cts: Any, in_tree: Any, chosen: list[int], in_avals: list[Aval]) -> list[Any]:
        """What bwd returned as one cotangent per operand; None stands for zeros, also for a whole argument."""
        of = f"the bwd rule of {name_of(self.fun)}"
        n_args = len(in_tree.children())
        if not isinstance(cts, tuple | list) or len(cts) != n_args:
            raise StructureError(f"{of} must return a tuple of {n_args} cotangents, one per argument, got {cts!r}.")
        leaves: list[Any] = []
        for ct, tree in zip(cts, in_tree.children(), strict=True):
            if ct is None:
                leaves += [None] * tree.num_leaves
                continue
            found, got = tree_flatten(ct, is_leaf=lambda leaf: leaf is None)
            if len(found) != tree.num_leaves:
                _require_structure(got, tree, f"{of} returned a cotangent")
            leaves += found
        result = []
        for k, aval in zip(chosen, in_avals, strict=True):
            if leaves[k] is None:
                result.append(jax.numpy.zeros(aval.shape, aval.dtype))
            else:
                _require_aval(aval_of(leaves[k]), aval, of)
                result.append(leaves[k])
        return result


def custom_jvp(fun: Callable, nondiff_argnums: Sequence[int] = ()) -> CustomDerivative:
    """`fun` with a forward derivative rule of your own, set with `.defjvp`; reverse mode transposes it.

    **Arguments:** `nondiff_argnums`: arguments that are passed to the rules first and never differentiated.
    **Returns:** a `CustomDerivative`, called as `fun` is.
    **Raises:** when it is called: `StructureError`, `ShapeError`, `DTypeError` where a rule's results do not fit;
    `MissingRuleError` where the rule is not enough for the derivative asked for.
    """
    return CustomDerivative(fun, nondiff_argnums)


def custom_vjp(fun: Callable, nondiff_argnums: Sequence[int] = ()) -> CustomDerivative:
    """`fun` with a reverse derivative rule of your own, set with `.defvjp(fwd, bwd)`.

    Forward mode transposes `bwd`, which must then be linear in the cotangent; or give a jvp rule too, with `.defjvp`.
    **Arguments, Returns, Raises:** as `custom_jvp`.
    """
    return CustomDerivative(fun, nondiff_argnums)


def _graph_of(
    call: Callable, given: list[Any] | None, avals: Any, fun: Callable
) -> tuple[Graph, Any, list[Aval], list[Any]]:
    """`call` on tracers as a closed graph: the graph, its result's tree and avals, and what it captured."""
    reading = Reading(call, given or (), avals, concrete=given is not None, fun=fun)
    results = Results(reading, fun)
    graph, inputs = reading.end_as_body()
    return graph, results.tree, results.avals, inputs[len(reading.given) :]


def _widened(graph: Graph | None, own: Sequence[Any], captured: Sequence[Any]) -> Graph | None:
    """(x*, own captured*) -> (y*) becomes (x*, captured*) -> (y*)."""
    if graph is None:
        return None
    n = len(graph.inputs) - len(own)
    held = {id(x): v for x, v in zip(own, graph.inputs[n:], strict=True)}
    tail = [held[id(x)] if id(x) in held else Var(aval_of(x)) for x in captured]
    return Graph([*graph.inputs[:n], *tail], graph.eqns, graph.outputs)


def _identity(x: Any) -> Any:
    """A static argument as part of a key: by value where that can be hashed, told apart by type (1 is not True)."""
    try:
        hash(x)
    except TypeError:
        return id(x)
    return type(x), x


def _require_structure(got: Any, wanted: Any, what: str) -> None:
    if got != wanted:
        raise StructureError(f"{what} with the structure {got}, but {wanted} was needed.")


def _require_aval(got: Aval, wanted: Aval, of: str) -> None:
    if got.shape != wanted.shape:
        raise ShapeError(f"{of} returned {got} where {wanted} was needed.")
    if got.dtype != wanted.dtype:
        raise DTypeError(f"{of} returned {got} where {wanted} was needed. Convert it with .astype.")
