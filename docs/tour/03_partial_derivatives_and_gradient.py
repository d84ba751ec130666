# %% [markdown]
# # 3. Partial derivatives and the gradient
#
# A function of several numbers has one slope for each: hold the others still and move one. For f(x, y) = x²y + y + 2,
# ∂f/∂x = 2xy and ∂f/∂y = x² + 1. At (3, 4) they are 24 and 10.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gradlab as gl


def f(x, y):
    return x * x * y + y + 2


by_x, by_y = gl.grad(f, argnums=(0, 1))(3.0, 4.0)
print(by_x, by_y)
assert (by_x, by_y) == (24.0, 10.0)

# %% [markdown]
# Together they are the gradient. Along a direction d the function changes by ⟨gradient, d⟩, a number that `gl.jvp` gives
# without the gradient. It is largest where d points along the gradient: uphill. Level lines are perpendicular to it.


# %%
def hill(p):
    x, y = p
    return -(x**2) / 4 - y**2 + x * y / 3


start = np.array([1.5, 0.8])
up = np.asarray(gl.grad(hill)(start))
direction = np.array([0.6, -0.8])
value, along = gl.jvp(hill, (start,), (direction,))
print("the slope along", direction, "is", along, "=", up @ direction)
assert abs(along - up @ direction) < 1e-6

# %%
x, y = np.meshgrid(np.linspace(-3, 3, 60), np.linspace(-2, 2, 60))
fig, ax = plt.subplots(figsize=(5, 3.4), layout="constrained")
ax.contour(x, y, hill((x, y)), 14, colors="0.75", linewidths=0.8)
points = np.stack(np.meshgrid(np.linspace(-2.5, 2.5, 9), np.linspace(-1.6, 1.6, 7)), -1).reshape(-1, 2)
arrows = np.asarray(gl.vmap(gl.grad(hill))(points))  # the gradients at all points, in one call
ax.quiver(*points.T, *arrows.T, color="C0", width=0.004)
ax.set_aspect("equal")
plt.close(fig)  # shown once, as the value of this cell
fig

# %% [markdown]
# Arguments may be nested lists, tuples and dictionaries of arrays (pytrees); the gradient has the same form.


# %%
def loss(model, x):
    return ((model["w"] @ x + model["b"]) ** 2).sum()


model = {"w": np.ones((2, 3)), "b": np.zeros(2)}
gradient = gl.grad(loss)(model, np.array([1.0, 2.0, 3.0]))
print({name: g.shape for name, g in gradient.items()})
assert gradient["b"].tolist() == [12.0, 12.0]
