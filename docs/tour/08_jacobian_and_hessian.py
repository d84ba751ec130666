# %% [markdown]
# # 8. Jacobian and Hessian
#
# A function from n numbers to m has an m × n matrix of slopes, the Jacobian. Forward mode gives one column a pass, reverse
# mode one row; `gl.jacobian` takes whichever needs fewer. The Hessian is the Jacobian of the gradient.

# %%
import jax

jax.config.update("jax_enable_x64", True)

import matplotlib.pyplot as plt
import numpy as onp

import gradlab as gl
import gradlab.numpy as np


def polar(p):
    r, angle = p
    return np.array([r * np.cos(angle), r * np.sin(angle)])


p = onp.array([2.0, 0.5])
jacobian = gl.jacobian(polar)(p)
print(jacobian)
assert abs(np.linalg.det(jacobian) - 2.0) < 1e-12  # areas grow by r


# %%
def rosenbrock(p):
    x, y = p
    return (1 - x) ** 2 + 100 * (y - x * x) ** 2


hessian = gl.hessian(rosenbrock)(onp.array([1.0, 1.0]))
print(hessian)
assert onp.allclose(hessian, [[802, -400], [-400, 200]])
print("condition number", float(np.linalg.cond(hessian)))

# %% [markdown]
# The eigenvectors of the Hessian are the axes of the level lines near the minimum; a large ratio of the eigenvalues is a
# narrow valley. For large n nobody needs the matrix: `gl.hvp` multiplies it with a vector at the cost of two gradients.

# %%
product = gl.hvp(rosenbrock, (onp.array([1.0, 1.0]),), (onp.array([1.0, 2.0]),))
print(product)
assert onp.allclose(product, hessian @ onp.array([1.0, 2.0]))

x, y = onp.meshgrid(onp.linspace(0.4, 1.6, 120), onp.linspace(0.4, 1.6, 120))
fig, ax = plt.subplots(figsize=(4, 3.6), layout="constrained")
ax.contour(x, y, rosenbrock((x, y)), 10.0 ** onp.arange(-2, 2.5, 0.5), colors="0.7", linewidths=0.8)
values, vectors = onp.linalg.eigh(hessian)
for value, vector in zip(values, vectors.T, strict=True):
    ax.plot(
        *(onp.ones((2, 1)) + vector[:, None] * onp.array([-1, 1]) * min(0.45, 2 / value**0.5)), label=f"{value:.3g}"
    )
ax.legend(title="eigenvalue", frameon=False)
ax.set_aspect("equal")
plt.close(fig)  # shown once, as the value of this cell
fig
