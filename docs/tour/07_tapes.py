# %% [markdown]
# # 7. Tapes
#
# TensorFlow made another way of writing popular: watch variables, compute with them as usual, and ask afterwards. The
# tape remembers the steps; the gradient runs back along it.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gradlab as gl

x, y = gl.Variable(3.0), gl.Variable(4.0)
with gl.GradientTape() as tape:
    z = x * x * y + y + 2
    print("the value is there at once:", float(z))
gradient = tape.gradient(z, [x, y])
print([float(g) for g in gradient])
assert [float(g) for g in gradient] == [24.0, 10.0]

# %% [markdown]
# A tape is used up by one question, unless it is persistent. Tapes inside tapes give second derivatives; what does not
# depend on a variable has gradient `None`.

# %%
with gl.GradientTape(persistent=True) as outer:
    with gl.GradientTape() as inner:
        z = x * x * y + y + 2
    first = inner.gradient(z, [x, y])
hessian = [outer.gradient(g, [x, y]) for g in first]
shown = [[None if h is None else float(h) for h in row] for row in hessian]
print(shown)
assert shown == [[8.0, 6.0], [6.0, None]]

# %% [markdown]
# First and second derivatives give the line and the parabola that touch the function at the point.

# %%
along = np.linspace(1.0, 5.0, 100)
step = along - 3.0
value, slope, curvature = float(z), float(first[0]), shown[0][0]
line = value + slope * step
parabola = line + curvature * step**2 / 2
assert np.allclose(parabola, along**2 * 4.0 + 4.0 + 2.0)  # f is of second degree in x
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(along, parabola, label="f(x, 4), and its parabola")
ax.plot(along, line, label=f"tangent, slope {slope:g}")
ax.plot(3.0, value, "ko")
ax.set_xlabel("x")
ax.legend(frameon=False)
plt.close(fig)  # shown once, as the value of this cell
fig

# %% [markdown]
# What runs is the same compiled program as with `gl.grad`: the tape holds it in the same form.
