"""Reference generation, data sets, training, evaluation and export.

Needs ``pip install 'ase-rholearn[train]'``.
"""

from .data import DataSet, split_ids

__all__ = ["DataSet", "split_ids"]
