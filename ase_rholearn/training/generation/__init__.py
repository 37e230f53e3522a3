"""Making reference densities: structures through a reference code, on any executor."""

from .executors import Workers
from .generate import Progress, generate

__all__ = ["Progress", "Workers", "generate"]
