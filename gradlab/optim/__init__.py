"""`gradlab.optim`: minimisers compiled whole into one XLA program."""

from typing import TYPE_CHECKING

from .experiment import experiment as experiment
from .extras import later
from .report import Report as Report
from .train import train as train
from .trained import Trained as Trained
from .trained import TrainStatus as TrainStatus

if TYPE_CHECKING:
    from . import plot as plot
else:
    plot = later("gradlab.optim.plot")
