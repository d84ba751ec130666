# %% [markdown]
# # 9. Gradient descent and Adam
#
# To go down a hill, step against the gradient: x ← x − η g. The step size η (the learning rate) decides everything: too
# small and it crawls, too large and it bounces out. In a narrow valley no single η is right for both directions.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as onp
import optax

import gradlab as gl
import gradlab.numpy as np


def valley(p):
    x, y = p
    return 0.5 * (x**2 + 25 * y**2)


def path(optimizer, start, steps):
    p, state, seen = onp.array(start), optimizer.init(onp.array(start)), [onp.array(start)]
    for _ in range(steps):
        updates, state = optimizer.update(gl.grad(valley)(p), state, p)
        p = optax.apply_updates(p, updates)
        seen.append(onp.asarray(p))
    return onp.array(seen)


methods = {
    "descent, η = 0.02": optax.sgd(0.02),
    "descent, η = 0.078": optax.sgd(0.078),
    "Adam, η = 0.3": optax.adam(0.3),
}
x, y = onp.meshgrid(onp.linspace(-1, 6.5, 80), onp.linspace(-1.6, 1.6, 60))
fig, ax = plt.subplots(figsize=(6, 3.2), layout="constrained")
ax.contour(x, y, valley((x, y)), 12, colors="0.8", linewidths=0.8)
for name, method in methods.items():
    points = path(method, [6.0, 1.4], 40)
    ax.plot(*points.T, ".-", lw=1, ms=3, label=f"{name}: f = {float(valley(points[-1])):.1e}")
ax.legend(frameon=False, fontsize=8)
plt.close(fig)  # shown once, as the value of this cell
fig

# %% [markdown]
# The theory: on a quadratic with curvatures from λ₁ to λ₂, descent converges if η < 2/λ₂, at best by a factor of
# (κ−1)/(κ+1) a step, with κ = λ₂/λ₁. Here κ = 25, so each step can take off 8 %.

# %%
points = path(optax.sgd(2 / (1 + 25)), [6.0, 1.4], 40)
rate = (valley(points[-1]) / valley(points[-11])) ** (1 / 20)
print("error left after a step:", float(rate), "theory:", 24 / 26)
assert abs(rate - 24 / 26) < 1e-3
assert not valley(path(optax.sgd(2.1 / 25), [6.0, 1.4], 60)[-1]) < valley((6.0, 1.4))

# %% [markdown]
# gradlab takes its first-order optimizers from Optax. `gl.optim.train` is the loop around them for real data: batches,
# several steps in one program, checkpoints, resuming. Differentiating *through* descent works too: here is how the final
# value depends on the learning rate itself.


# %%
def after(rate, steps=20):
    def step(p, _):
        return p - rate * gl.grad(valley)(p), None

    p, _ = gl.scan(step, np.array([6.0, 1.4]), None, length=steps)
    return valley(p)


for rate in (0.03, 0.0765, 0.079):
    print(f"η = {rate}: f = {float(after(rate)):.4f}, df/dη = {float(gl.grad(after)(rate)):.3f}")
assert gl.grad(after)(0.03) < 0 < gl.grad(after)(0.079)
