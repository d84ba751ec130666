# %% [markdown]
# # 4. The chain rule
#
# A program is a chain of small steps, each with a known slope. The chain rule says that slopes multiply: if y depends on
# x, and z on y, then dz/dx = dz/dy · dy/dx. Nothing else is needed to differentiate a program.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import math

import matplotlib.pyplot as plt
import numpy as onp

import gradlab as gl
import gradlab.numpy as np


def chain(x):
    a = np.sin(x)
    b = a * x
    return np.exp(b)


x = 0.7
a, b = math.sin(x), math.sin(x) * x
by_hand = math.exp(b) * (math.cos(x) * x + a)
print(by_hand, float(gl.grad(chain)(x)))
assert abs(by_hand - gl.grad(chain)(x)) < 1e-14

# %% [markdown]
# This is how gradlab holds the function: one equation a step, with its type, and the line it was written on.

# %%
gl.show(chain)(x)

# %% [markdown]
# And this is its derivative. Values have the names you gave them; `a_bar` is the slope of the result by `a`. Each line is
# one factor of the chain rule.

# %%
print(gl.source(gl.grad(chain))(x))

# %% [markdown]
# The derivative is a program like any other, so it has a derivative as well, to any order.

# %%
f = chain
for order in range(1, 5):
    f = gl.grad(f)
    print(f"derivative of order {order} at {x}: {float(f(x)):.6f}")

# %% [markdown]
# The slope of the result by x is the product of the slopes along the chain: where one of them is zero, so is it.

# %%
points = onp.linspace(0.0, 6.0, 200)
by_b = gl.vmap(lambda x: np.exp(np.sin(x) * x))(points)
b_by_x = gl.vmap(gl.grad(lambda x: np.sin(x) * x))(points)
slopes = gl.vmap(gl.grad(chain))(points)
assert np.allclose(by_b * b_by_x, slopes)
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(points, by_b, label="dz/db")
ax.plot(points, b_by_x, label="db/dx")
ax.plot(points, slopes, "k", lw=2, label="dz/dx")
ax.axhline(0, color="0.8", lw=1)
ax.set_xlabel("x")
ax.legend(frameon=False)
plt.close(fig)  # shown once, as the value of this cell
fig
