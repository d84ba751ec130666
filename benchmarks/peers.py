"""The libraries beside each other: what to call for a gradient, a Hessian and a compiled function in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import gradlab as gl
import gradlab.numpy as gnp

try:
    import autograd
    import autograd.numpy as anp
except ImportError:
    autograd = None

try:
    import torch
except ImportError:
    torch = None


class NotOffered(Exception):
    """The peer has no such derivative, so the row goes without it."""


@dataclass(frozen=True)
class Library:
    """`derivative(f, argnums, order)` is called as a user would, eagerly; `jit` compiles it, or is None."""

    name: str
    np: Any
    array: Callable[[Any], Any]
    derivative: Callable[..., Callable]
    wait: Callable[[Any], Any] = lambda result: result
    jit: Callable | None = None
    forget: Callable[[], None] = lambda: None  # whatever the library remembers from earlier traces


def on_arrays(convert: Callable, args: Any) -> Any:
    """The arguments with each array converted; Python numbers stay, as in a user's call."""
    return jax.tree.map(lambda leaf: convert(leaf) if isinstance(leaf, np.ndarray) else leaf, args)


def _by_order(grad: Callable, hessian: Callable) -> Callable:
    return lambda f, argnums, order: (grad, hessian)[order - 1](f, argnums)


GRADLAB = Library(
    "gradlab", gnp, jnp.asarray, _by_order(gl.grad, gl.hessian), jax.block_until_ready, gl.jit, gl.cache_clear
)
JAX = Library("jax", jnp, jnp.asarray, _by_order(jax.grad, jax.hessian), jax.block_until_ready, jax.jit)


def _autograd_hessian(f: Callable, argnums: Any) -> Callable:
    if not isinstance(argnums, int):
        raise NotOffered("autograd's Hessian is of one argument")
    return autograd.hessian(f, argnums)


class TorchNumpy:
    """The few names that torch spells in another way, or takes no Python numbers for."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def max(self, x, axis=(), keepdims=False):
        return torch.amax(x, dim=axis, keepdim=keepdims)

    def min(self, x, axis=(), keepdims=False):
        return torch.amin(x, dim=axis, keepdim=keepdims)

    def maximum(self, x, y):
        return torch.maximum(x, torch.as_tensor(y, dtype=x.dtype))

    def logaddexp(self, x, y):
        return torch.logaddexp(torch.as_tensor(x, dtype=y.dtype), y)


def _torch_derivative(f: Callable, argnums: Any, order: int) -> Callable:
    if order > 1:
        raise NotOffered("torch is timed at first order only")
    chosen = (argnums,) if isinstance(argnums, int) else argnums

    def gradient(*args):
        args = list(args)
        for i in chosen:
            args[i] = jax.tree.map(lambda leaf: torch.as_tensor(leaf, dtype=torch.float64).requires_grad_(), args[i])
        return torch.autograd.grad(f(*args), jax.tree.leaves([args[i] for i in chosen]))

    return gradient


PEERS = [GRADLAB, JAX]
if autograd is not None:
    PEERS.append(Library("autograd", anp, np.asarray, _by_order(autograd.grad, _autograd_hessian)))
if torch is not None:
    PEERS.append(Library("torch", TorchNumpy(), torch.as_tensor, _torch_derivative))
