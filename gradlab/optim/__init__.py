"""`gradlab.optim`: minimisers compiled whole into one XLA program."""

from .train import train as train
from .trained import Trained as Trained
from .trained import TrainStatus as TrainStatus
