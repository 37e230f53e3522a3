"""Active learning: the structures from which a model has most to learn."""

from .candidate import Candidate, candidates, group_of, select, write_selected

__all__ = ["Candidate", "candidates", "group_of", "select", "write_selected"]
