"""The pullback of a running product as jax.numpy code; its text stands in the programs that call it.

What lax.associative_scan makes of a recurrence that runs backwards reverses its operands, and multiplies out products
once more. Here both scans, of the products from the front and of the cotangents from the back, share one tree.
"""

from __future__ import annotations

import jax
from jax import lax
from jax import numpy as jnp


def pull_products(x: jax.Array, ct: jax.Array, axis: int, reverse: bool) -> jax.Array:
    """The cotangent of x, where ct is that of lax.cumprod(x, axis, reverse)."""
    if reverse:
        x, ct = lax.rev(x, (axis,)), lax.rev(ct, (axis,))

    def every_fourth(v, pad):
        ends = [(0, -v.shape[i] % 4 if i == axis else 0, 0) for i in range(v.ndim)]
        v = lax.pad(v, jnp.asarray(pad, v.dtype), ends)
        v = v.reshape(*v.shape[:axis], -1, 4, *v.shape[axis + 1 :])
        return [lax.index_in_dim(v, k, axis + 1, keepdims=False) for k in range(4)]

    def woven(parts, n):
        v = jnp.stack(parts, axis + 1)
        v = v.reshape(*v.shape[:axis], -1, *v.shape[axis + 2 :])
        return lax.slice_in_dim(v, 0, n, axis=axis)

    def around(p, q):
        # of each element: the product of p before it, and after = q + p * after of the next
        n = p.shape[axis]
        if n < 2:
            return jnp.ones_like(p), jnp.zeros_like(q)
        (p0, p1, p2, p3), (q0, q1, q2, q3) = every_fourth(p, 1), every_fourth(q, 0)
        p01, q23 = p0 * p1, q2 + p2 * q3
        before, after = around(p01 * (p2 * p3), q0 + p0 * q1 + p01 * q23)
        third = q3 + p3 * after
        second = q2 + p2 * third
        befores = [before, before * p0, before * p01, before * (p01 * p2)]
        afters = [q1 + p1 * second, second, third, after]
        return woven(befores, n), woven(afters, n)

    before, after = around(x, x * ct)
    out = before * (ct + after)
    return lax.rev(out, (axis,)) if reverse else out
