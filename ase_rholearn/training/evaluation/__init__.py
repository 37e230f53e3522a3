"""How good a model is: figures on references that it was not trained on, and their report."""

from .command import Reporting, evaluate_models
from .energies import evaluate_energies
from .evaluate import evaluate
from .figures import FIGURES
from .job import Job, evaluate_dataset
from .structure import Settings, judge

__all__ = [
    "FIGURES",
    "Job",
    "Reporting",
    "Settings",
    "evaluate",
    "evaluate_dataset",
    "evaluate_energies",
    "evaluate_models",
    "judge",
]
