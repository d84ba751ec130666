"""`gradlab.optim`: minimisers compiled whole into one XLA program."""

from typing import TYPE_CHECKING

from ..ir.extras import Later
from . import problems as problems
from .curve_fit import curve_fit as curve_fit
from .experiment import experiment as experiment
from .least_squares import least_squares as least_squares
from .method import Method as Method
from .methods import METHODS as METHODS
from .minimize import minimize as minimize
from .report import Report as Report
from .result import Result as Result
from .result import Status as Status
from .root import root as root
from .train import train as train
from .trained import Trained as Trained
from .trained import TrainStatus as TrainStatus
from .transformations import as_transformation as as_transformation
from .transformations import bfgs as bfgs
from .transformations import gradient_descent as gradient_descent
from .transformations import lbfgs as lbfgs

if TYPE_CHECKING:
    from . import plot as plot
else:
    plot = Later("gradlab.optim.plot")
