"""`train` on loaders as they are found: of unknown length, shuffled anew on each pass, with a generator of torch's."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradlab.ir.errors import ArgumentError, DTypeError
from gradlab.optim import TrainStatus, train

from .test_train import ADAM, PARAMS, Loader, Places, X, Y, batches, loss, same


class Reshuffled:
    """Four batches a pass, in an order that it draws anew on each pass, as tf.data's `shuffle(seed=...)`."""

    def __init__(self):
        self.rng, self.passes = np.random.default_rng(0), 0

    def __iter__(self):
        self.passes += 1
        for i in self.rng.permutation(4):
            yield batches(4)[i]

    def __len__(self):
        raise TypeError("a stream has no length")


class Generator:
    """As torch's: its state is a tensor that NumPy sees the memory of."""

    def __init__(self, seed: int):
        self.state = np.full(1, seed, np.uint8)

    def get_state(self):
        kept = self.state.copy()
        return SimpleNamespace(numpy=lambda: kept)

    def set_state(self, tensor):
        self.state = tensor.numpy().copy()


class Sampler:
    __module__ = "torch.utils.data.sampler"
    generator = None


class TorchLike:
    """Shuffles by a generator that every pass leaves elsewhere, as torch's DataLoader."""

    def __init__(self, generator: Any):
        self.generator, self.sampler, self.batch_sampler = generator, Sampler(), Sampler()
        self.fetched = 0

    def __len__(self):
        return 4

    def __iter__(self):
        generator = self.generator or sys.modules["torch"].default_generator
        order = np.random.default_rng(generator.state[0]).permutation(4)
        generator.state += np.uint8(1)
        for i in order:
            self.fetched += 1
            yield batches(4)[i]


@pytest.mark.parametrize("stop", [3, 4, 8, 10])
@pytest.mark.parametrize("made", ["reshuffled", "torch"])
def test_a_loader_shuffled_anew_on_each_pass_resumes_to_the_same_bits(made, stop, tmp_path, monkeypatch):
    def data() -> Any:
        if made == "reshuffled":
            return Reshuffled()
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(default_generator=Generator(7)))  # unseeded, or not
        return TorchLike(None if stop == 3 else Generator(3))

    whole = train(loss, PARAMS, data(), ADAM, epochs=3)
    assert whole.step == 12 and whole.epoch == 3
    first = train(loss, PARAMS, data(), ADAM, steps=stop, checkpoint=tmp_path)
    assert first.step == stop
    second = data()
    rest = train(loss, PARAMS, second, ADAM, epochs=3, checkpoint=tmp_path, prefetch=0)
    assert rest.resumed_from == stop and same(rest.params, whole.params) and rest.epoch == 3
    if made == "torch":
        assert second.fetched <= 12 - stop + stop % 4 + 4  # passes that are over are not gone through again


def test_a_state_that_is_refused_is_reached_by_skipping(tmp_path, monkeypatch):
    train(loss, PARAMS, Loader(), ADAM, steps=20, checkpoint=tmp_path)

    def refuse(self, state):
        raise ValueError("another data source")

    monkeypatch.setattr(Places, "set_state", refuse)
    loader = Loader()
    result = train(loss, PARAMS, loader, ADAM, steps=28, checkpoint=tmp_path, prefetch=0)
    assert result.resumed_from == 20 and loader.fetched == 28
    assert same(result.params, train(loss, PARAMS, batches(), ADAM, steps=28).params)


def test_data_that_grew_shorter_is_noticed(tmp_path):
    train(loss, PARAMS, batches(9), ADAM, steps=5, checkpoint=tmp_path)
    with pytest.raises(ArgumentError, match="not there.*resume=False"):
        train(loss, PARAMS, batches(9)[:4], ADAM, steps=9, checkpoint=tmp_path)


def test_fewer_passes_than_epochs_are_told():
    once = iter(batches(5))
    data = type("Once", (), {"__iter__": lambda self: once})()
    ended = train(loss, PARAMS, data, ADAM, epochs=3)
    assert ended.status is TrainStatus.DATA_ENDED and ended.step == 5 and ended.epoch == 1


def test_examples_by_number_and_tensors_of_unknown_kinds():
    class Examples:
        def __len__(self):
            return 60

        def __getitem__(self, i):
            return X[i], Y[i]

    with pytest.raises(ArgumentError, match="write batch_size"):
        train(loss, PARAMS, Examples(), ADAM, epochs=1)
    assert train(loss, PARAMS, Examples(), ADAM, epochs=1, batch_size=8).step == 7

    class Sparse:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("no dense memory")

    with pytest.raises(DTypeError, match="dense arrays"):
        train(loss, PARAMS, [(Sparse(), Y)], ADAM, steps=1)
