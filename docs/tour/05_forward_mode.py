# %% [markdown]
# # 5. Forward mode: dual numbers
#
# Carry along with each value x its tangent dx: how fast it changes. A pair (x, dx) is a dual number, x + dx·ε with
# ε² = 0. Arithmetic on them needs one rule an operation, the chain rule for that step. Twenty lines are enough to see it.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import math
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as onp

import gradlab as gl
import gradlab.numpy as np


@dataclass
class Dual:
    value: float
    tangent: float = 0.0

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.tangent + other.tangent)

    __radd__ = __add__

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value * other.value, self.tangent * other.value + self.value * other.tangent)

    __rmul__ = __mul__


def sin(x):
    return Dual(math.sin(x.value), math.cos(x.value) * x.tangent) if isinstance(x, Dual) else np.sin(x)


def f(x):
    return x * x * sin(x) + 3 * x


print(f(Dual(2.0, 1.0)))

# %% [markdown]
# `gl.jvp` (Jacobian-vector product) does the same to whole programs: values and tangents in, values and tangents out.

# %%
value, tangent = gl.jvp(f, (2.0,), (1.0,))
print(value, tangent)
assert abs(tangent - f(Dual(2.0, 1.0)).tangent) < 1e-14
print(gl.source(lambda x, x_dot: gl.jvp(f, (x,), (x_dot,)))(2.0, 1.0))

# %% [markdown]
# One pass gives the derivative of *everything* along *one* direction, at about twice the cost of the function. For a
# curve in many dimensions (one number in, many out) that is all there is to it; for the gradient of a loss by a million
# parameters it takes a million passes. That is what reverse mode is for.


# %%
def curve(t):
    return np.array([np.cos(t), np.sin(t), t / 5])


position, velocity = gl.jvp(curve, (1.0,), (1.0,))
print(velocity)
assert np.allclose(velocity, np.array([-math.sin(1.0), math.cos(1.0), 0.2]))

# %% [markdown]
# The same for many times at once: where a point on the curve is, and where it is going.

# %%
times = onp.linspace(0.0, 6.0, 13)
places, velocities = gl.vmap(lambda t: gl.jvp(curve, (t,), (1.0,)))(times)
dense = gl.vmap(curve)(onp.linspace(0.0, 6.0, 200))
fig, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ax.plot(dense[:, 0], dense[:, 1], color="0.7")
ax.quiver(places[:, 0], places[:, 1], velocities[:, 0], velocities[:, 1], angles="xy", scale_units="xy", scale=2.5)
ax.set_aspect("equal")
ax.set_xlabel("cos t")
ax.set_ylabel("sin t")
ax.margins(0.2)
plt.close(fig)  # shown once, as the value of this cell
fig
