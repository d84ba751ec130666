"""Functions with a derivative of the user's own, as equations that carry the function and its rules as graphs.

`custom_call` computes the function. Differentiated, it gives way to its rule: the jvp rule's equations, or the forward
rule's and one `custom_linear` equation, which is linear in the tangents. Transposed, that is the backward rule; run
forwards, it is the jvp rule, or the transpose of the backward one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..ir.errors import MissingRuleError
from ..ir.graph import Aval, Eqn, Graph, Lit, is_inexact
from ..ir.primitive import Primitive, Refused
from ..ir.work import Work
from ..lower.compile import Executable
from ..ops.families import batch_size, reduce_sum_p, with_axis
from ..ops.operands import or_zeros, zeros_like
from ..trace.builder import bind, bind1
from ..trace.stage import current, inline, trace_graph
from ..transforms.batch import batch_graph
from ..transforms.jvp import jvp_graph
from ..transforms.transpose import transpose_graph


class Rules(NamedTuple):
    """The user's rules as graphs. They share one list of captured values, the last operands of the call.

    `jvp`: (x*, dx*, captured*) -> (y*, dy*). `fwd`: (x*, captured*) -> (y*, residuals*).
    `bwd`: (residuals*, ct_y*, captured*) -> (ct_x*). `captured`: how many values the function captured, and the rules.
    """

    jvp: Graph | None
    fwd: Graph | None
    bwd: Graph | None
    captured: tuple[int, int]
    name: str

    def parts(self, xs: Sequence[Any]) -> tuple[list[Any], list[Any], list[Any]]:
        """The arguments proper, what the function captured, and what the rules captured."""
        end = len(xs) - self.captured[1]
        n = end - self.captured[0]
        return list(xs[:n]), list(xs[n:end]), list(xs[end:])

    @property
    def recursive(self) -> bool:
        """Whether a rule calls the function it belongs to."""
        graphs = (graph for graph in (self.jvp, self.fwd, self.bwd) if graph is not None)
        return any(_mentions_self(eqn) for graph in graphs for eqn in graph.eqns)


SELF = "self"  # the rules of a call found inside its own rule; `tied` puts them there when the rule is used
DEEP = "deep"  # the rules of a call in rules within rules, each with other static arguments, further down than was read


def custom_call(fun: Graph, rules: Rules | str, xs: Sequence[Any]) -> tuple:
    """The results of `fun` on `xs`: arguments, then what the function and what the rules captured (none for SELF)."""
    # A Python scalar is an argument of its own type here, not a filler shaped like its neighbours.
    own = [Lit(x, v.aval) if type(x) in (int, float, complex) else x for x, v in zip(xs, fun.inputs, strict=False)]
    return bind(custom_call_p, *own, *xs[len(own) :], fun=fun, rules=rules)


def tied(graph: Graph, rules: Rules) -> Graph:
    """The rule with calls to its own function given their rules: one more level of an endless unfolding."""
    if not any(_mentions_self(eqn) for eqn in graph.eqns):
        return graph
    captured = graph.inputs[len(graph.inputs) - rules.captured[1] :]
    eqns = []
    for eqn in graph.eqns:
        params, inputs = dict(eqn.params), eqn.inputs
        if eqn.prim is custom_call_p and params["rules"] == SELF:
            params["rules"] = rules
            inputs = (*inputs, *captured)
        elif captured and _mentions_self(eqn):
            raise MissingRuleError(
                f"the rule of {rules.name} closes over a value and calls {rules.name} inside {eqn.prim.name}, so it "
                "cannot be differentiated again. Pass the value as an argument."
            )
        for name in eqn.prim.graphs:
            if isinstance(params[name], Graph):
                params[name] = tied(params[name], rules)
        eqns.append(Eqn(eqn.prim, inputs, eqn.outputs, params, eqn.where))
    return Graph(graph.inputs, eqns, graph.outputs)


def _mentions_self(eqn: Eqn) -> bool:
    if eqn.prim is custom_call_p and eqn.params["rules"] == SELF:
        return True
    return any(_mentions_self(e) for _, graph in eqn.graphs for e in graph.eqns)


def _call_jvp(xs, tangents, *, fun, rules):
    if rules == SELF:
        raise MissingRuleError(
            "a custom rule that calls its own function was differentiated before its rules were known"
        )
    if rules == DEEP:
        raise MissingRuleError(
            "a custom rule calls its own function, with other arguments in nondiff_argnums each time, and was "
            "differentiated more often than its rules were read. Make those arguments ordinary ones, or write the "
            "derivative out."
        )
    own, _, captured = rules.parts(xs)
    if any(t is not None for t in tangents[len(own) :]):
        raise MissingRuleError(
            f"{rules.name} has a derivative of its own, but closes over a value that is being differentiated, which "
            "the rule does not mention. Pass that value as an argument."
        )
    tangents = or_zeros(tangents[: len(own)], own)
    builder = current(xs)
    n = len(fun.outputs)
    if rules.fwd is None:
        outs = inline(tied(rules.jvp, rules), builder, [*own, *tangents, *captured])
        return tuple(outs[:n]), tuple(outs[n:])
    outs = inline(tied(rules.fwd, rules), builder, [*own, *captured])
    residuals = outs[n:]
    touts = bind(
        custom_linear_p,
        *own,
        *residuals,
        *captured,
        *tangents,
        jvp=tied(rules.jvp, rules) if rules.jvp else None,
        bwd=tied(rules.bwd, rules),
        counts=(len(own), len(residuals), len(captured)),
        name=rules.name,
    )
    return tuple(outs[:n]), touts


def _call_batch(xs, dims, *, fun, rules):
    size = batch_size(xs, dims)
    # A rule that calls its function calls the batched one: then all arguments have the axis, at every level the same.
    known = rules not in (SELF, DEEP)
    whole = not known or rules.recursive
    xs = [with_axis(x, d, 0, size) if d is not None or whole else x for x, d in zip(xs, dims, strict=True)]
    dims = [0 if d is not None or whole else None for d in dims]
    ends = (0,) * len(fun.outputs)
    if not known:
        return custom_call(batch_graph(fun, dims, size, ends)[0], rules, xs), ends
    own, f_dims, captured = rules.parts(dims)
    batched, _ = batch_graph(fun, [*own, *f_dims], size, ends)
    jvp = fwd = bwd = None
    if rules.jvp is not None:
        jvp, _ = batch_graph(rules.jvp, [*own, *own, *captured], size, [0] * len(rules.jvp.outputs))
    if rules.fwd is not None:
        fwd, _ = batch_graph(rules.fwd, [*own, *captured], size, [0] * len(rules.fwd.outputs))
        bwd = _batched_bwd(rules.bwd, [0] * len(rules.fwd.outputs) + captured, own, size)
    return custom_call(batched, Rules(jvp, fwd, bwd, rules.captured, rules.name), xs), ends


def _batched_bwd(bwd: Graph, dims: Sequence[int | None], own: Sequence[int | None], size: int) -> Graph:
    """The backward rule for a batch; an argument shared by the batch gets the sum of its cotangents."""
    graph, _ = batch_graph(bwd, dims, size, [0] * len(bwd.outputs))

    def run(builder, *xs):
        cts = inline(graph, builder, xs)
        return [ct if d is not None else bind1(reduce_sum_p, ct, axes=(0,)) for ct, d in zip(cts, own, strict=True)]

    return trace_graph(run, graph.in_avals)


def _call_expand(xs, *, fun, rules):
    return tuple(inline(fun, current(xs), xs[: len(fun.inputs)]))


def _call_native(*, fun, rules):
    """The function as jax.custom_jvp or jax.custom_vjp; where it has both rules, JAX has room for the reverse one."""

    @cache
    def executable(rule: str) -> Callable[..., tuple]:
        graph = fun if rule == "fun" else tied(getattr(rules, rule), rules)
        return Executable(graph, rules.name, keep_rules=True).fn

    n = len(fun.outputs)

    def plain(*xs):
        own, captured, _ = rules.parts(xs)
        return executable("fun")(*own, *captured)

    def jvp(primals, tangents):
        own, _, captured = rules.parts(primals)
        moving = [_like(t, x) for t, x in zip(tangents, own, strict=False)]
        outs = executable("jvp")(*own, *moving, *captured)
        return tuple(outs[:n]), tuple(_tangent(t) for t in outs[n:])

    def fwd(*xs):
        own, _, captured = rules.parts(xs)
        outs = executable("fwd")(*own, *captured)
        return tuple(outs[:n]), (outs[n:], captured)

    def bwd(kept, cts):
        residuals, captured = kept
        cts = [_like(ct, v) for ct, v in zip(cts, fun.out_avals, strict=True)]
        found = [_tangent(ct) for ct in executable("bwd")(*residuals, *cts, *captured)]
        return (*found, *[None] * (len(fun.inputs) + len(captured) - len(found)))

    if rules.fwd is None:
        native = jax.custom_jvp(plain)
        native.defjvp(jvp)
    else:
        native = jax.custom_vjp(plain)
        native.defvjp(fwd, bwd)
    return native


def _like(tangent: Any, x: Any) -> Any:
    """JAX's tangent of `x`, with zeros for the nothing it has for integers."""
    return jnp.zeros(x.shape, x.dtype) if tangent.dtype == jax.dtypes.float0 else tangent


def _tangent(value: Any) -> Any:
    return value if is_inexact(value.dtype) else np.zeros(value.shape, jax.dtypes.float0)


custom_call_p = Primitive(
    name="custom_call",
    infer=lambda *xs, fun, rules: fun.out_avals,
    emit=Refused("custom_call is expanded before a program is written"),
    jvp=_call_jvp,
    transpose=Refused("a function with a custom derivative is not transposed; its derivative is"),
    batch=_call_batch,
    cost=lambda outs, *xs, fun, rules: Work(inside=((fun, 1),)),
    graphs=("fun",),
    expand=_call_expand,
    native=_call_native,
)


def _segments(xs: Sequence[Any], counts: tuple[int, int, int]) -> list[list[Any]]:
    """The operands of `custom_linear`: x*, residuals*, captured*, and dx* (as many as x*)."""
    found, start = [], 0
    for count in (*counts, counts[0]):
        found.append(list(xs[start : start + count]))
        start += count
    return found


def _linear_infer(*xs: Aval, jvp, bwd, counts, name) -> tuple[Aval, ...]:
    _, n_residuals, n_captured = counts
    return bwd.in_avals[n_residuals : len(bwd.inputs) - n_captured]


def _linear_expand(xs, *, jvp, bwd, counts, name):
    own, residuals, captured, tangents = _segments(xs, counts)
    builder = current(xs)
    if jvp is not None:
        outs = inline(jvp, builder, [*own, *tangents, *captured])
        return tuple(outs[len(outs) // 2 :])
    n_outs = len(bwd.inputs) - counts[1] - counts[2]
    linear = [counts[1] <= k < counts[1] + n_outs for k in range(len(bwd.inputs))]
    try:
        forward, alive = transpose_graph(bwd, linear)
    except MissingRuleError as error:
        raise MissingRuleError(
            f"{name} has only a custom vjp, so its forward mode is the transpose of its backward rule; that rule is "
            f"not linear in the cotangent ({error.message}) Give {name} a jvp rule too (defjvp), or use reverse mode."
        ).at(error.line) from None
    got = iter(inline(forward, builder, [*residuals, *captured, *tangents]))
    cts = bwd.inputs[counts[1] : counts[1] + n_outs]
    return tuple(next(got) if on else zeros_like(ct) for on, ct in zip(alive, cts, strict=True))


def _linear_jvp(xs, tangents, **params):
    outs = bind(custom_linear_p, *xs, **params)
    counts = params["counts"]
    own, moving = tangents[: -counts[0] or None], tangents[len(tangents) - counts[0] :]
    if all(t is None for t in own):
        filled = or_zeros(moving, xs[len(xs) - counts[0] :])
        return outs, bind(custom_linear_p, *xs[: len(xs) - counts[0]], *filled, **params)
    graph = trace_graph(lambda builder, *args: _linear_expand(args, **params), [x.aval for x in xs])
    both, alive = jvp_graph(graph, [t is not None for t in tangents])
    got = iter(inline(both, current(xs), [*xs, *(t for t in tangents if t is not None)])[len(outs) :])
    return outs, tuple(next(got) if on else None for on in alive)


def _linear_transpose(cts, active, *xs, jvp, bwd, counts, name):
    _, residuals, captured, _ = _segments(xs, counts)
    n_given = len(xs) - counts[0]
    if any(active[:n_given]):
        raise MissingRuleError(f"the derivative of {name} is linear in its tangents only")
    seeds = bwd.inputs[counts[1] : len(bwd.inputs) - counts[2]]
    filled = or_zeros(cts, seeds)
    found = inline(bwd, current([*residuals, *captured, *filled]), [*residuals, *filled, *captured])
    return (*[None] * n_given, *(ct if on else None for ct, on in zip(found, active[n_given:], strict=True)))


def _linear_batch(xs, dims, *, jvp, bwd, counts, name):
    size = batch_size(xs, dims)
    n_given = len(xs) - counts[0]
    xs = [
        x if d is None and k < n_given else with_axis(x, d, 0, size)
        for k, (x, d) in enumerate(zip(xs, dims, strict=True))
    ]
    dims = [None if d is None and k < n_given else 0 for k, d in enumerate(dims)]
    own, residuals, captured, moving = _segments(dims, counts)
    n_outs = len(bwd.inputs) - counts[1] - counts[2]
    if jvp is not None:
        jvp, _ = batch_graph(jvp, [*own, *moving, *captured], size, [0] * len(jvp.outputs))
    new, _ = batch_graph(bwd, [*residuals, *[0] * n_outs, *captured], size, [0] * len(bwd.outputs))
    outs = bind(custom_linear_p, *xs, jvp=jvp, bwd=new, counts=counts, name=name)
    return outs, (0,) * len(outs)


custom_linear_p = Primitive(
    name="custom_linear",
    infer=_linear_infer,
    emit=Refused("custom_linear is expanded before a program is written"),
    jvp=_linear_jvp,
    transpose=_linear_transpose,
    batch=_linear_batch,
    cost=Refused("custom_linear is expanded before a program is costed"),
    graphs=("jvp", "bwd"),
    expand=_linear_expand,
)
