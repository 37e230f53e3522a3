"""Data sets of references on disk."""

from .dataset import DataSet
from .split import split_ids

__all__ = ["DataSet", "split_ids"]
