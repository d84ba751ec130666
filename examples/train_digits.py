"""Trains a network on handwritten digits by `optim.train`, kills it half way, and goes on to the same bits.

Run:  python examples/train_digits.py        (the same on a CPU and on a GPU; --help lists the options)
Three runs of one training: undisturbed; in a process that is killed at a random moment; and the same command again,
which finds the checkpoint of the killed one. The first and the last end with the same parameters, to the bit.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import gradlab as gl
import gradlab.numpy as gnp
from gradlab import optim

LAYERS = (64, 256, 128, 10)


def initial_parameters(key: jax.Array) -> list[dict[str, jax.Array]]:
    """One dict of weights and biases a layer; He's scale, which keeps the variance through a relu."""
    keys = jax.random.split(key, len(LAYERS) - 1)
    return [
        {"w": jax.random.normal(k, (n_in, n_out)) * jnp.sqrt(2 / n_in), "b": jnp.zeros(n_out)}
        for k, n_in, n_out in zip(keys, LAYERS[:-1], LAYERS[1:], strict=True)
    ]


def logits(params, images):
    """images (n, 64) -> (n, 10)."""
    *hidden, last = params
    for layer in hidden:
        images = gnp.maximum(images @ layer["w"] + layer["b"], 0)
    return images @ last["w"] + last["b"]


def loss(params, batch, key):
    """Cross-entropy and accuracy on images seen through a little noise, which is new at every step."""
    images, labels = batch
    z = logits(params, images + 0.15 * jax.random.normal(key, images.shape))
    log_p = z - gl.scipy.special.logsumexp(z, axis=1, keepdims=True)
    right = gnp.argmax(z, axis=1) == labels
    return -gnp.mean(gnp.take_along_axis(log_p, labels[:, None], axis=1)), {"accuracy": gnp.mean(right)}


def run(epochs: int, checkpoint: Path | None, progress: bool | None = None) -> optim.Trained:
    """The whole training; with a checkpoint directory, from where the last one left off."""
    digits = load_digits()
    images, labels = (digits.data / 16).astype(np.float32), digits.target.astype(np.int32)
    seen, held_out, seen_labels, held_out_labels = train_test_split(
        images, labels, test_size=0.2, random_state=0, stratify=labels
    )
    predict = gl.jit(lambda params, x: gnp.argmax(logits(params, x), axis=1))
    steps = epochs * (len(seen) // 64)
    return optim.train(
        loss,
        initial_parameters(jax.random.key(0)),
        (seen, seen_labels),
        optax.adamw(optax.warmup_cosine_decay_schedule(0.0, 3e-3, steps // 10, steps)),
        epochs=epochs,
        batch_size=64,
        has_aux=True,
        key=1,
        clip=1.0,
        ema=0.99,
        evaluate=lambda params: {"held-out accuracy": np.mean(predict(params, held_out) == held_out_labels)},
        evaluate_every=steps // 10,
        mode="max",
        checkpoint=checkpoint,
        checkpoint_every=100,
        progress=progress,
    )


def killed(epochs: int, checkpoint: Path) -> str:
    """The same training in a process of its own, killed as soon as it has written some checkpoints; what was left."""
    child = subprocess.Popen(
        [sys.executable, __file__, "--epochs", str(epochs), "--only", str(checkpoint)], stdout=subprocess.DEVNULL
    )
    while child.poll() is None and not (checkpoint / "200").exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    return ", ".join(sorted((path.name for path in checkpoint.iterdir()), key=len))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=30, help="passes over the training set (default 30)")
    parser.add_argument("--out", default="train_digits.png", help="where the figure goes (default train_digits.png)")
    parser.add_argument("--only", type=Path, help="train with checkpoints in this directory, and nothing else")
    options = parser.parse_args()
    if options.only is not None:
        run(options.epochs, options.only)
        return
    print(f"device: {jax.devices()[0].platform} ({jax.devices()[0].device_kind}), JAX {jax.__version__}")

    whole = run(options.epochs, None)
    print(whole)
    print(f"held-out accuracy, best of the moving average: {whole.best_value:.2%} at step {whole.best_step}")

    with tempfile.TemporaryDirectory() as directory:
        checkpoint = Path(directory) / "checkpoints"
        print(f"killed by SIGKILL; left on disk: {killed(options.epochs, checkpoint)}")
        resumed = run(options.epochs, checkpoint)
    same = all(
        np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True)
    )
    print(f"resumed from step {resumed.resumed_from}, on to step {resumed.step}: the same bits: {same}")
    if not same:
        raise SystemExit("the resumed run ended elsewhere")

    optim.plot.history(whole, title="Handwritten digits").savefig(options.out)
    print(f"figure: {options.out}")


if __name__ == "__main__":
    main()
