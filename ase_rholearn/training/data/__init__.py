"""Data sets of references on disk."""

from .checking import check
from .dataset import DataSet
from .exchange import export
from .merging import merge
from .split import extend_split, groups_by, read_ids, read_split, split_ids, write_split
from .summary import info, info_lines

__all__ = [
    "DataSet",
    "check",
    "export",
    "extend_split",
    "groups_by",
    "info",
    "info_lines",
    "merge",
    "read_ids",
    "read_split",
    "split_ids",
    "write_split",
]
