# %% [markdown]
# # 10. Newton and L-BFGS
#
# Descent knows the slope, not how it changes. Newton's method does: step by H⁻¹ g, and a quadratic is solved at once.
# The Hessian of a large problem is too big; L-BFGS builds an estimate of H⁻¹ from the last few changes of the gradient.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as onp

import gradlab as gl


def rosenbrock(p):
    x, y = p[:-1], p[1:]
    return (100 * (y - x * x) ** 2 + (1 - x) ** 2).sum()


start = onp.array([-1.2, 1.0])
p = start
for k in range(6):
    p = p - onp.linalg.solve(gl.hessian(rosenbrock)(p), gl.grad(rosenbrock)(p))
    print(f"Newton, step {k + 1}: f = {float(rosenbrock(p)):.2e}")
assert rosenbrock(p) < 1e-10

# %% [markdown]
# `gl.optim.minimize` has L-BFGS (the default), L-BFGS-B for bounds, BFGS, Newton-CG and a trust region, each compiled
# whole into one program. It says how it ended, and what to do.

# %%
result = gl.optim.minimize(rosenbrock, start, history=True)
print(result.message)
print("x =", result.x, "after", int(result.n_evals), "evaluations")
assert onp.allclose(result.x, 1.0, atol=1e-5)

# %%
fig, ax = plt.subplots(figsize=(5, 3.2), layout="constrained")
for method in ("lbfgs", "bfgs", "newton-cg", "trust-region"):
    seen = gl.optim.minimize(rosenbrock, start, method=method, history=True)
    values = onp.asarray(seen.history.f)[: int(seen.n_iters) + 1]
    ax.semilogy(onp.maximum(values, 1e-20), ".-", label=f"{method}, {int(seen.n_evals)} evaluations")
ax.set_xlabel("iteration")
ax.set_ylabel("f")
ax.legend(frameon=False, fontsize=8)
plt.close(fig)  # shown once, as the value of this cell
fig

# %% [markdown]
# Bounds are kept at every point that is tried; and the solution can be differentiated by the arguments of the function,
# by the implicit function theorem: the condition gradient = 0 is what moves, not the iterations.

# %%
boxed = gl.optim.minimize(rosenbrock, start, bounds=(None, 0.5))
print(boxed.x, boxed.message)
assert (onp.asarray(boxed.x) <= 0.5).all()


def solution(c):
    return gl.optim.minimize(
        lambda p, c: ((p - c) ** 2 * onp.array([1.0, 3.0])).sum() + 0.1 * (p**4).sum(), start, args=(c,)
    ).x


slope = gl.jacobian(solution)(onp.array([1.0, 2.0]))
difference = (solution(onp.array([1.001, 2.0])) - solution(onp.array([0.999, 2.0]))) / 0.002
print(slope)
assert onp.allclose(slope[:, 0], difference, atol=1e-4)
