# %% [markdown]
# # 6. Reverse mode
#
# The chain rule may be multiplied from the other end. Let x̄, the cotangent of x, be the slope of the *result* by x. The
# result's own is 1. Going back through the steps, each hands to its operands its own cotangent times its slope; what is
# read twice gets the sum. One pass back gives the slope of *one* result by *everything*.
#
# In gradlab this is no second set of rules. The tangent program is linear in the tangents, so it can be transposed, as a
# matrix can: inputs become outputs, a sum becomes a copy, and a copy a sum. Linearize, then transpose.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as onp

import gradlab as gl
import gradlab.numpy as np


def f(x, w):
    h = np.tanh(w @ x)
    return h @ h


x, w = onp.array([0.3, -0.2, 0.9]), onp.arange(6.0).reshape(2, 3) / 5
value, linear = gl.linearize(lambda w: f(x, w), w)
print("value", value, "and its change along a direction", linear(onp.ones((2, 3))))

# %% [markdown]
# `gl.vjp` (vector-Jacobian product) is the transposed program. For a direction v and a cotangent c, c·(J v) and (Jᵀ c)·v
# are the same number: the test that every rule in gradlab has to pass.

# %%
value, backward = gl.vjp(lambda w: f(x, w), w)
(w_bar,) = backward(1.0)
v = onp.ones((2, 3))
print(float(linear(v)), float((w_bar * v).sum()))
assert abs(linear(v) - (w_bar * v).sum()) < 1e-14
print(gl.source(gl.grad(f, argnums=1))(x, w))

# %% [markdown]
# What the way back needs of the way there (here `h` and `x`) has to be kept: the residuals. They are the dashed edges
# of the drawing, and the price of reverse mode in memory.

# %%
gl.draw(gl.grad(f, argnums=1))(x, w)

# %% [markdown]
# The price in time is a small constant, whatever the number of arguments: here is the cost of the gradient over that of
# the function, counted in operations, for more and more parameters.

# %%
sizes = [2, 8, 32, 128, 512]
ratios = [gl.cost(f)(onp.ones(n), onp.ones((n, n))).ratio for n in sizes]
print([f"{r:.2f}" for r in ratios])
assert max(ratios) < 5
fig, ax = plt.subplots(figsize=(5, 2.6), layout="constrained")
ax.semilogx([n * n for n in sizes], ratios, "o-")
ax.set_ylim(0, 5)
ax.set_xlabel("parameters")
ax.set_ylabel("cost of gradient / function")
plt.close(fig)  # shown once, as the value of this cell
fig
