# %% [markdown]
# # 4. The chain rule
#
# A program is a chain of small steps, each with a known slope. The chain rule says that slopes multiply: if y depends on
# x, and z on y, then dz/dx = dz/dy · dy/dx. Nothing else is needed to differentiate a program.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import math

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
# And this is its derivative. Values have the names you gave them; `b_bar` is the slope of the result by `b`. Each line is
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
