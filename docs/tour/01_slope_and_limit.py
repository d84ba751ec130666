# %% [markdown]
# # 1. Slope and limit
#
# A derivative is the slope of a curve at a point: how much the function changes for a small change of its argument.
# Take f(x) = x² at x = 3. Between 3 and 3 + h the curve climbs by (3+h)² − 9 = 6h + h², so the slope of the secant is
# 6 + h. As h goes to zero the secants turn into the tangent, and their slopes tend to 6.

# %%
import matplotlib.pyplot as plt
import numpy as np

import gradlab as gl


def f(x):
    return x**2


for h in (1.0, 0.1, 0.01, 0.001):
    print(f"h = {h:<6} slope of the secant = {(f(3 + h) - f(3)) / h:.4f}")

# %% [markdown]
# gradlab takes no limit. It reads the function, and rewrites it by the rules of calculus: the derivative of x² is 2x.
# `gl.grad(f)` is that other function, and `gl.source` prints it.

# %%
slope = gl.grad(f)
print("f'(3) =", slope(3.0))
print(gl.source(slope)(3.0))
assert slope(3.0) == 6.0

# %% [markdown]
# The tangent touches the curve; the secants close in on it.

# %%
x = np.linspace(1, 5, 100)
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.plot(x, f(x), label="x²", lw=2)
for h in (1.5, 0.75, 0.3):
    secant = (f(3 + h) - f(3)) / h
    ax.plot(x, 9 + secant * (x - 3), color="0.7", lw=1)
    ax.plot([3 + h], [f(3 + h)], "o", color="0.6", ms=4)
ax.plot(x, 9 + float(slope(3.0)) * (x - 3), "C1", label="tangent, slope 6")
ax.plot([3], [9], "ko", ms=5)
ax.legend(frameon=False)
ax.set_xlabel("x")
plt.close(fig)  # shown once, as the value of this cell
fig

# %% [markdown]
# Not every limit exists. |x| has slope −1 on the left of zero and 1 on the right; gradlab says 0 there, a choice between
# the two that keeps optimizers in place. Such choices are listed on the page about edges.

# %%
print([float(gl.grad(abs)(v)) for v in (-1.0, 0.0, 1.0)])
assert [float(gl.grad(abs)(v)) for v in (-1.0, 0.0, 1.0)] == [-1.0, 0.0, 1.0]
