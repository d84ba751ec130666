"""The ground floor: the program, its primitives' record, its checks and its errors. Imports no JAX."""

from . import pretty as pretty
