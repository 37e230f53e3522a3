"""Active learning: the structures from which a model has most to learn."""

from .candidate import Candidate, candidates, select, write_selected

__all__ = ["Candidate", "candidates", "select", "write_selected"]
