"""Tools that answer one question about a program each: is its derivative right, what does it cost, what did it do."""

from . import numeric as numeric
from .checks import check_grads as check_grads
from .cost import cost as cost
from .diagnose import diagnose as diagnose
from .draw import draw as draw
from .report import report as report
from .source import show as show
from .source import source as source
from .tape import GradientTape as GradientTape
from .variable import Variable as Variable
