"""Trains a network to read the 1,797 handwritten digits that scikit-learn ships, and draws how that went.

Run:  python examples/digits.py        (the same on a CPU and on a GPU; --help lists the options)
"""

from __future__ import annotations

import argparse
import time

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import gradlab as gl
import gradlab.numpy as gnp

LAYERS = (64, 256, 128, 10)


# -- the network


def initial_parameters(key: jax.Array) -> list[dict[str, jax.Array]]:
    """One dict of weights and biases a layer; He's scale, which keeps the variance through a relu."""
    keys = jax.random.split(key, len(LAYERS) - 1)
    return [
        {"w": jax.random.normal(k, (n_in, n_out)) * jnp.sqrt(2 / n_in), "b": jnp.zeros(n_out)}
        for k, n_in, n_out in zip(keys, LAYERS[:-1], LAYERS[1:], strict=True)
    ]


def logits(params, images):
    """images (n, 64) -> (n, 10), with whatever array the caller brings: gradlab's tracers or jax.numpy's arrays."""
    *hidden, last = params
    for layer in hidden:
        images = gnp.maximum(images @ layer["w"] + layer["b"], 0)
    return images @ last["w"] + last["b"]


def loss(params, images, targets):
    """The mean cross-entropy against one-hot targets (n, 10), its softmax written from primitives."""
    z = logits(params, images)
    z = z - gnp.max(z, axis=1, keepdims=True)
    log_p = z - gnp.log(gnp.sum(gnp.exp(z), axis=1, keepdims=True))
    return -gnp.mean(gnp.sum(targets * log_p, axis=1))


# -- training


def train(params, data, epochs: int, batch: int, seed: int):
    """The trained parameters, and per epoch (mean training loss, training accuracy, held-out accuracy)."""
    train_x, test_x, train_y, test_y = data
    targets = jax.nn.one_hot(train_y, 10)
    steps = len(train_x) // batch
    optimizer = optax.adam(optax.cosine_decay_schedule(2e-3, epochs * steps))
    value_and_grad = gl.value_and_grad(loss)

    @jax.jit  # a derivative by gradlab is an ordinary JAX function: Optax and it compile into one program
    def step(params, state, images, targets):
        value, grads = value_and_grad(params, images, targets)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state, value

    predict = gl.jit(lambda params, images: gnp.argmax(logits(params, images), axis=1))

    def accuracy(images, labels) -> float:
        return float(np.mean(np.asarray(predict(params, images)) == labels))

    state = optimizer.init(params)
    shuffle = np.random.default_rng(seed)
    history = []
    bar = tqdm(range(epochs), unit="epoch", desc="training")
    for _ in bar:
        order = shuffle.permutation(len(train_x))[: steps * batch].reshape(steps, batch)
        losses = []
        for rows in order:
            # A little noise each time, so that the network cannot learn the training images by heart.
            seen = train_x[rows] + shuffle.normal(scale=0.15, size=(batch, 64)).astype(np.float32)
            params, state, value = step(params, state, seen, targets[rows])
            losses.append(value)
        history.append((float(np.mean(losses)), accuracy(train_x, train_y), accuracy(test_x, test_y)))
        bar.set_postfix(loss=f"{history[-1][0]:.4f}", held_out=f"{history[-1][2]:.2%}")
    return params, history, np.asarray(predict(params, test_x))


# -- the figure


def draw(history, images, labels, predicted, path: str) -> None:
    """Loss, accuracy, and held-out digits with predictions: the mistakes first, then some right ones."""
    blue, orange, grey, red = "#2563eb", "#ea580c", "#6b7280", "#dc2626"
    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False, "axes.titlesize": 11})
    losses, seen, held_out = (np.array(column) for column in zip(*history, strict=True))
    epochs = np.arange(1, len(losses) + 1)

    figure = plt.figure(figsize=(11, 6.6), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=[1.35, 1])
    left, right = top.subplots(1, 2)
    left.semilogy(epochs, losses, color=blue, lw=2)
    left.set(title="Training loss (cross-entropy)", xlabel="epoch")
    right.plot(epochs, 100 * seen, color=grey, lw=1.5, label=f"trained on: {seen[-1]:.1%}")
    right.plot(epochs, 100 * held_out, color=orange, lw=2, label=f"held out: {held_out[-1]:.1%}")
    right.set(title="Accuracy [%]", xlabel="epoch", ylim=(min(90, 100 * held_out.min()), 100.4))
    right.legend(frameon=False, loc="lower right")
    for axes in (left, right):
        axes.grid(alpha=0.25)
        axes.margins(x=0.01)

    wrong = np.flatnonzero(predicted != labels)
    shown = np.concatenate([wrong, np.flatnonzero(predicted == labels)])[:24]
    bottom.suptitle(f"Held-out digits: the {len(wrong)} misread of {len(labels)} come first, in red", fontsize=11)
    for axes, i in zip(bottom.subplots(2, 12).flat, shown, strict=True):
        right_one = predicted[i] == labels[i]
        axes.imshow(images[i].reshape(8, 8), cmap="gray_r", interpolation="nearest")
        title = f"{predicted[i]}" if right_one else f"{predicted[i]} (is {labels[i]})"
        axes.set_title(title, color=grey if right_one else red, fontsize=9, pad=3)
        axes.set(xticks=[], yticks=[])
        for side in axes.spines.values():
            side.set(visible=True, color="#d1d5db" if right_one else red)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=60, help="passes over the training set (default 60)")
    parser.add_argument("--batch", type=int, default=64, help="digits per step (default 64)")
    parser.add_argument("--seed", type=int, default=0, help="of the split, the initial weights and the shuffling")
    parser.add_argument("--out", default="digits.png", help="where the figure goes (default digits.png)")
    options = parser.parse_args()
    print(f"device: {jax.devices()[0].platform} ({jax.devices()[0].device_kind}), JAX {jax.__version__}")

    digits = load_digits()
    images = (digits.data / 16).astype(np.float32)
    data = train_test_split(images, digits.target, test_size=0.2, random_state=options.seed, stratify=digits.target)
    start = time.perf_counter()
    params = initial_parameters(jax.random.key(options.seed))
    params, history, predicted = train(params, data, options.epochs, options.batch, options.seed)
    seconds = time.perf_counter() - start

    draw(history, data[1], data[3], predicted, options.out)
    print(f"held-out accuracy: {history[-1][2]:.2%} ({len(data[3])} digits) after {seconds:.1f} s")
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
