"""What `train` refuses, before anything has run or been written."""

from __future__ import annotations

import numpy as np
import pytest

from gradlab.ir.errors import ArgumentError, DTypeError, GradlabError, NonScalarError, ShapeError
from gradlab.optim import train

from .test_train import ADAM, PARAMS, X, Y, batches, loss

REFUSED = {
    "both": ({"steps": 1, "epochs": 1}, ArgumentError, "either steps or epochs"),
    "neither": ({}, ArgumentError, "either steps or epochs"),
    "zero steps": ({"steps": 0}, ArgumentError, "positive integer"),
    "integers": ({"steps": 1, "params": {"n": np.arange(3)}}, DTypeError, r"\['n'\] is int64.*astype"),
    "a function": ({"steps": 1, "params": {"f": np.tanh, "w": X}}, DTypeError, "close over it"),
    "no params": ({"steps": 1, "params": {}}, ArgumentError, "nothing to train"),
    "no batch size": ({"steps": 1, "data": (X, Y)}, ArgumentError, "batch_size"),
    "a large batch": ({"steps": 1, "data": (X, Y), "batch_size": 61}, ArgumentError, "60 examples"),
    "two lengths": ({"steps": 1, "data": (X, Y[1:]), "batch_size": 5}, ShapeError, r"\(59,\)"),
    "batches of batches": ({"steps": 1, "data": iter(batches()), "batch_size": 5}, ArgumentError, "Leave"),
    "no rows": ({"steps": 1, "data": (X[:0], Y[:0]), "batch_size": 5}, ArgumentError, "no rows"),
    "an empty list": ({"steps": 1, "data": []}, ArgumentError, "empty list"),
    "an empty generator": ({"steps": 1, "data": iter([])}, ArgumentError, "yields no batch"),
    "no data": ({"steps": 1, "data": None}, ArgumentError, "yield batches"),
    "words": ({"steps": 1, "data": [(np.array(["a"]), Y)]}, DTypeError, "encode"),
    "two passes": ({"epochs": 2, "data": iter(batches())}, ArgumentError, "used up"),
    "a vector": ({"steps": 1, "loss": lambda p, b: b[1] * p["b"]}, NonScalarError, "one number"),
    "no pair": ({"steps": 1, "has_aux": True}, GradlabError, "has_aux"),
    "a taken name": (
        {"steps": 1, "loss": lambda p, b: (loss(p, b), {"loss": p["b"]}), "has_aux": True}, ArgumentError, "rename"),
    "no optimizer": ({"steps": 1, "optimizer": "adam"}, ArgumentError, "optax.adam"),
    "a policy": ({"steps": 1, "on_nonfinite": "ignore"}, ArgumentError, "'skip'"),
    "a precision": ({"steps": 1, "precision": "int8"}, ArgumentError, "bfloat16"),
    "a scale": ({"steps": 1, "loss_scale": -1}, ArgumentError, "loss_scale"),
    "patience": ({"steps": 1, "patience": 3}, ArgumentError, "evaluate="),
    "a key": ({"steps": 1, "key": "seed"}, ArgumentError, "seed"),
    "a decay": ({"steps": 1, "ema": 1.5}, ArgumentError, "decay"),
    "an argument more": ({"steps": 1, "loss": lambda p, b, key: loss(p, b)}, ArgumentError, "key=0 adds"),
    "an argument less": ({"steps": 1, "key": 0}, ArgumentError, "key= is given"),
    "few batches": ({"epochs": 1, "accumulate": 31}, ArgumentError, "gave 30 in all"),
    "a list of arrays": ({"steps": 1, "data": [X, Y], "batch_size": 8}, ArgumentError, "write a tuple"),
    "examples of all shapes": ({"steps": 1, "data": [X, Y], "batch_size": 2}, ShapeError, "tuple in place"),
    "words for numbers": ({"steps": 1, "clip": "1"}, ArgumentError, "clip must be"),
    "a negative seed": ({"steps": 1, "seed": -1}, ArgumentError, "0 or more"),
    "a number for a path": ({"steps": 1, "checkpoint": 3}, ArgumentError, "path of a directory"),
    "a cadence": ({"steps": 1, "checkpoint_every": 0}, ArgumentError, "checkpoint_every"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_before_anything_happens(name, tmp_path):
    options, error, match = REFUSED[name]
    options = {"loss": loss, "params": PARAMS, "data": batches(), "optimizer": ADAM, **options}
    log = tmp_path / "log.csv"
    with pytest.raises(error, match=match):
        train(
            options.pop("loss"),
            options.pop("params"),
            options.pop("data"),
            options.pop("optimizer"),
            log=log,
            **options,
        )
    assert not log.exists()
