# %% [markdown]
# # 2. Numerical differentiation
#
# The limit can be cut short: take a small h and be content with the secant. The central difference,
# (f(x+h) − f(x−h)) / 2h, is better, since the errors of the two sides cancel to first order. Both have a best h. Larger,
# and the curve bends away; smaller, and the subtraction loses digits.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp


def f(x):
    return gnp.exp(gnp.sin(3 * x))


exact = float(gl.grad(f)(1.0))
steps = 10.0 ** np.arange(-15, 0.5, 0.25)
forward = [abs(float(f(1 + h) - f(1)) / h - exact) for h in steps]
central = [abs(float(f(1 + h) - f(1 - h)) / (2 * h) - exact) for h in steps]

fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
ax.loglog(steps, forward, label="forward")
ax.loglog(steps, central, label="central")
ax.set_xlabel("step h")
ax.set_ylabel("error of the slope")
ax.legend(frameon=False)
plt.close(fig)  # shown once, as the value of this cell
fig

# %%
print(f"exact {exact:.12f}, best forward error {min(forward):.1e}, best central error {min(central):.1e}")
assert 1e-10 < min(forward) < 1e-6 and min(central) < 1e-9

# %% [markdown]
# `gl.numeric.gradients` has both, and two better ones: Richardson's extrapolation, which also estimates its own error,
# and the complex step, Im f(x + ih) / h, which subtracts nothing and so is exact to rounding where f is analytic.

# %%
for method in ("forward", "central", "richardson", "complex-step"):
    estimate = gl.numeric.gradients(f, [1.0], method=method)
    print(f"{method:<13} {estimate}")

# %% [markdown]
# What differences cannot do is scale: the gradient of a function of a million numbers takes a million evaluations or
# more. They are the judge, not the worker: `gl.check_grads` compares derivatives with them.

# %%
gl.check_grads(f, (1.0,), order=2)
