"""From slope to Hessian: the derivatives of f(x, y) = x²y + y + 2 at (3, 4), by differences and by gradlab.

Run:  python examples/quickstart.py
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

import gradlab as gl
import gradlab.numpy as gnp

jax.config.update("jax_enable_x64", True)  # forward differences need the digits


def f(x, y):
    return x * x * y + y + 2


def forward_differences(f, x, y, eps=1e-4):
    """The slope of f along each axis, from f at two points eps apart: approximate, one more evaluation per input."""
    return (f(x + eps, y) - f(x, y)) / eps, (f(x, y + eps) - f(x, y)) / eps


def show(title: str, value: object) -> None:
    print(f"{title:<52}{value}")


def numbers(values) -> tuple[float, ...]:
    return tuple(round(float(v), 6) for v in values)


def main() -> None:
    x, y = 3.0, 4.0
    show("f(3, 4)", f(x, y))
    show("numerical differentiation, eps = 1e-4", numbers(forward_differences(f, x, y)))

    gradient = gl.grad(f, argnums=(0, 1))
    show("gl.grad: exact, one backward sweep for all inputs", numbers(gradient(x, y)))

    value, slope = gl.jvp(f, (x, y), (1.0, 0.0))
    show("gl.jvp: the value, and the slope along (1, 0)", numbers((value, slope)))

    value, pull = gl.vjp(f, x, y)
    show("gl.vjp: a weight 1 on the output, pulled back", numbers(pull(1.0)))

    def of_vector(v):
        return f(v[0], v[1])

    def two_outputs(v):
        return gnp.stack([of_vector(v), v[0] * v[1]])

    point = jnp.array([x, y])
    show("gl.jacobian of (f, xy)", gl.jacobian(two_outputs)(point).tolist())
    show("gl.hessian", gl.hessian(of_vector)(point).tolist())
    show(
        "gl.hvp: the Hessian times (1, 0), never formed", gl.hvp(of_vector, (point,), (jnp.array([1.0, 0.0]),)).tolist()
    )

    print("\nThe gradient as gradlab holds it, print(gl.stage(gradient)(3.0, 4.0)):\n")
    print(gl.stage(gradient)(x, y))
    print("\nThe gradient as it runs, print(gl.source(gradient)(3.0, 4.0)):\n")
    print(gl.source(gradient)(x, y))


if __name__ == "__main__":
    main()
