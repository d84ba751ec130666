"""The table of `GradientTape`: what it must give, each as a function that returns (got, wanted)."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

X = np.array([1.0, 2.0, -3.0])
M = np.arange(6.0).reshape(2, 3) / 7


def polynomial(x, y):
    return x * x * y + y + 2


def variables(*values):
    return [gl.Variable(v) for v in values]


def first_gradient():
    x, y = variables(3.0, 4.0)
    with gl.GradientTape() as tape:
        f = polynomial(x, y)
    return tape.gradient(f, [x, y]), [24.0, 10.0]


def hessian_by_a_persistent_tape():
    x, y = variables(3.0, 4.0)
    with gl.GradientTape(persistent=True) as outer:
        with gl.GradientTape() as inner:
            f = polynomial(x, y)
        first = inner.gradient(f, [x, y])
    return [outer.gradient(d, [x, y]) for d in first], [[8.0, 6.0], [6.0, None]]


def third_order():
    (x,) = variables(2.0)
    with gl.GradientTape() as a:
        with gl.GradientTape() as b:
            with gl.GradientTape() as c:
                y = x**5
            first = c.gradient(y, x)
        second = b.gradient(first, x)
    return [first, second, a.gradient(second, x)], [80.0, 160.0, 240.0]


def unconnected_none():
    x, y = variables(3.0, X)
    with gl.GradientTape() as tape:
        z = x * x
    return tape.gradient(z, [x, y]), [6.0, None]


def unconnected_zeros():
    x, y = variables(3.0, X)
    with gl.GradientTape() as tape:
        z = x * x
    return tape.gradient(z, [x, y], unconnected="zeros"), [6.0, np.zeros(3)]


def unconnected_in_tensorflows_words():
    x, y = variables(3.0, X)
    with gl.GradientTape(persistent=True) as tape:
        z = x * x
    return (
        [tape.gradient(z, y, unconnected_gradients=how) for how in ("zero", "none")],
        [np.zeros(3), None],
    )


def stop_gradient_disconnects():
    (x,) = variables(3.0)
    with gl.GradientTape() as tape:
        z = gl.stop_gradient(x) * 2
    return tape.gradient(z, x), None


def sum_of_a_vector_target():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y = gnp.sin(x) * x
    return tape.gradient(y, x), jax.grad(lambda x: (jnp.sin(x) * x).sum())(X)


def several_targets():
    x, y = variables(3.0, 4.0)
    with gl.GradientTape() as tape:
        targets = {"a": x * y, "b": [x * x, gnp.array([1.0, 2.0])]}
    return tape.gradient(targets, (x, y)), (4.0 + 6.0, 3.0)


def weighted_targets():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y, z = x * x, x.sum()
    return tape.gradient([y, z], x, output_gradients=[np.array([1.0, 0.5, 0.0]), 10.0]), 2 * X * [1, 0.5, 0] + 10


def one_weight_is_none():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y, z = x * x, x**3
    return tape.gradient([y, z], x, output_gradients=[None, 2 * np.ones(3)]), 2 * X + 6 * X**2


def nested_sources():
    p = {"w": gl.Variable(M), "b": (gl.Variable(X),)}
    with gl.GradientTape() as tape:
        y = gnp.tanh(p["w"] @ p["b"][0]).sum()
    wanted = jax.grad(lambda p: jnp.tanh(p["w"] @ p["b"][0]).sum())({"w": M, "b": (X,)})
    return tape.gradient(y, p), wanted


def watched_array():
    with gl.GradientTape() as tape:
        x = tape.watch(X)
        y = (x * x).sum()
    return tape.gradient(y, x), 2 * X


def a_watched_array_by_itself():
    x = jnp.asarray(X)
    with gl.GradientTape() as tape:
        y = (tape.watch(x) ** 2).sum()
    return tape.gradient(y, x), 2 * X


def watched_tree():
    with gl.GradientTape() as tape:
        p = tape.watch({"a": 2.0, "b": [X]})
        y = (p["a"] * p["b"][0]).sum()
    return tape.gradient(y, p), {"a": X.sum(), "b": [2 * np.ones(3)]}


def an_unwatched_variable():
    x = gl.Variable(3.0, trainable=False)
    with gl.GradientTape() as tape:
        y = x * x
    return tape.gradient(y, x), None


def a_variable_watched_by_hand():
    x, y = gl.Variable(3.0), gl.Variable(4.0)
    with gl.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x)
        z = x * x * y
    return tape.gradient(z, [x, y]), [24.0, None]


def watched_late():
    x = gl.Variable(3.0, trainable=False)
    with gl.GradientTape() as tape:
        before = x * x
        tape.watch(x)
        after = x * x
        z = before + 10 * after
    return tape.gradient(z, x), 60.0


def intermediate_source():
    (x,) = variables(3.0)
    with gl.GradientTape(persistent=True) as tape:
        y = x * x
        z = y * y + x
    return tape.gradient(z, [x, y]), [4 * 27.0 + 1, 18.0]


def intermediate_source_of_both_tapes():
    (x,) = variables(3.0)
    with gl.GradientTape() as outer:
        with gl.GradientTape() as inner:
            y = x * x
            z = y**3
        first = inner.gradient(z, y)
    return outer.gradient(first, [x, y]), [6 * 9.0 * 6.0, 54.0]


def target_is_source():
    (x,) = variables(3.0)
    with gl.GradientTape(persistent=True) as tape:
        y = x * 2
    return [tape.gradient(x, x), tape.gradient(y, y)], [1.0, 1.0]


def stop_recording():
    (x,) = variables(3.0)
    with gl.GradientTape(persistent=True) as tape:
        y = x * x
        with tape.stop_recording():
            c = x * x * x
            same = x * x
        z = y * c
    return [tape.gradient(z, x), tape.gradient(c, x), tape.gradient(same, x)], [6 * 27.0, None, None]


def the_outer_tape_hears_what_the_inner_does_not():
    (x,) = variables(3.0)
    with gl.GradientTape() as outer:
        with gl.GradientTape() as inner:
            with inner.stop_recording():
                c = x * x
            z = c * x
        first = inner.gradient(z, x)
    return [first, outer.gradient(first, x)], [9.0, 6.0]


def reset():
    x, y = variables(3.0, 4.0)
    with gl.GradientTape(persistent=True) as tape:
        lost = x * x
        tape.reset()
        kept = y * y
        again = x * x
    return [tape.gradient(t, [x, y]) for t in (lost, kept, again)], [[None, None], [None, 8.0], [6.0, None]]


def assigned_while_recording():
    (x,) = variables(3.0)
    with gl.GradientTape() as tape:
        y = x * x
        x.assign(5.0)
        y = y + 10 * x
    return [y.numpy(), tape.gradient(y, x)], [59.0, 16.0]


def two_variables_of_one_array():
    a = jnp.array(3.0)
    x, y = gl.Variable(a), gl.Variable(a)
    with gl.GradientTape() as tape:
        z = x * x * y
    return tape.gradient(z, [x, y]), [18.0, 9.0]


def python_control_flow():
    (x,) = variables(3.0)
    with gl.GradientTape() as tape:
        y, n = x, 0
        while y < 100:
            y, n = y * y, n + 1
    return [tape.gradient(y, x), np.asarray(n, float)], [8 * 3.0**7, 3.0]


def gradient_inside_the_context():
    (x,) = variables(3.0)
    with gl.GradientTape(persistent=True) as tape:
        y = x * x
        first = tape.gradient(y, x)
        second = tape.gradient(first, x)
    return [first, second], [6.0, 2.0]


def jacobian():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y = gnp.outer(x, x)[:2]
    return tape.jacobian(y, x), jax.jacobian(lambda x: jnp.outer(x, x)[:2])(X)


def jacobian_of_several_sources():
    x, y, z = variables(X, 2.0, 1.0)
    with gl.GradientTape() as tape:
        t = x * x * y
    wanted = [*jax.jacobian(lambda x, y: x * x * y, (0, 1))(X, 2.0), None]
    return tape.jacobian(t, [x, y, z]), wanted


def jacobian_zeros():
    x, y = variables(X, M)
    with gl.GradientTape() as tape:
        t = x * 2
    return tape.jacobian(t, y, unconnected="zeros"), np.zeros((3, 2, 3))


def hessian_by_jacobian():
    (x,) = variables(X)
    with gl.GradientTape() as outer:
        with gl.GradientTape() as inner:
            y = (gnp.sin(x) * x).prod()
        first = inner.gradient(y, x)
    return outer.jacobian(first, x), jax.hessian(lambda x: (jnp.sin(x) * x).prod())(X)


def batch_jacobian():
    (x,) = variables(M)
    with gl.GradientTape() as tape:
        y = gnp.stack([x[:, 0] * x[:, 1], gnp.sin(x[:, 2])], 1)
    wanted = jax.vmap(jax.jacobian(lambda r: jnp.stack([r[0] * r[1], jnp.sin(r[2])])))(M)
    return tape.batch_jacobian(y, x), wanted


def batch_jacobian_unconnected():
    x, y = variables(M, M)
    with gl.GradientTape(persistent=True) as tape:
        t = x * 2
    got = [tape.batch_jacobian(t, y), tape.batch_jacobian(t, y, unconnected="zeros")]
    return got, [None, np.zeros((2, 3, 3))]


def jax_code_inside():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y = gl.from_jax(lambda x: jnp.sum(jnp.cos(x)))(x.value())
    return tape.gradient(y, x), -np.sin(X)


def plain_numpy_inside():
    (x,) = variables(X)
    with gl.GradientTape() as tape:
        y = np.sum(np.exp(x) * X)
    return tape.gradient(y, x), np.exp(X) * X


def transformations_inside():
    (x,) = variables(2.0)
    with gl.GradientTape() as tape:
        y = gl.grad(lambda t: t**3 * x)(x.value())
        z = gl.scan(lambda c, r: (c * r, None), y, gnp.array([1.0, 2.0]))[0]
    return tape.gradient(z, x), 2 * 9 * 4.0


def computed_on_afterwards():
    (x,) = variables(3.0)
    with gl.GradientTape() as tape:
        y = x * x
    z = y * 2
    with gl.GradientTape() as other:
        w = z * x
    return [z.numpy(), tape.gradient(y, x), other.gradient(w, x)], [18.0, 6.0, 18.0]


def under_jit():
    (x,) = variables(3.0)

    @gl.jit
    def step(a):
        with gl.GradientTape() as tape:
            a = tape.watch(a)
            y = a * a * x
        return tape.gradient(y, a)

    return step(jnp.array(2.0)), 12.0


def returned_from_a_transformed_function():
    (x,) = variables(3.0)

    def f(a):
        with gl.GradientTape() as tape:
            a = tape.watch(a)
            y = a**3 * x
        return y + tape.gradient(y, a)

    return [gl.grad(f)(2.0), gl.jit(f)(2.0)], [3 * 4 * 3.0 + 6 * 2 * 3, 24 + 36.0]


def complex_source():
    (z,) = variables(1 + 2j)
    with gl.GradientTape() as tape:
        y = abs(z) ** 2
    return tape.gradient(y, z), jnp.asarray(2 - 4j)


TABLE = {
    f.__name__: f
    for f in (
        first_gradient, hessian_by_a_persistent_tape, third_order, unconnected_none, unconnected_zeros,
        unconnected_in_tensorflows_words, stop_gradient_disconnects, sum_of_a_vector_target, several_targets,
        weighted_targets, one_weight_is_none, nested_sources, watched_array, a_watched_array_by_itself, watched_tree,
        an_unwatched_variable, a_variable_watched_by_hand, watched_late, intermediate_source,
        intermediate_source_of_both_tapes, target_is_source, stop_recording,
        the_outer_tape_hears_what_the_inner_does_not, reset, assigned_while_recording, two_variables_of_one_array,
        python_control_flow, gradient_inside_the_context, jacobian, jacobian_of_several_sources, jacobian_zeros,
        hessian_by_jacobian, batch_jacobian, batch_jacobian_unconnected, jax_code_inside, plain_numpy_inside,
        transformations_inside, computed_on_afterwards, under_jit, returned_from_a_transformed_function, complex_source,
    )
}  # fmt: skip
