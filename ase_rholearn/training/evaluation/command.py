"""Models judged, and the report written: what ``ase-rholearn evaluate`` does."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...extras import needs
from ..generation import Progress, Workers
from .figures import own_error
from .job import Job, evaluate_dataset, write_evaluation


@dataclass(frozen=True)
class Reporting:
    """What is written beside ``evaluation.json``.

    Attributes
    ----------
    page
        Whether to write ``report.html``.
    pictures
        How many of the worst structures it shows.
    """

    page: bool = True
    pictures: int = 3

    def check(self) -> None:
        """Raise an ImportError if the page cannot be made here."""
        if not self.page:
            return
        with needs("matplotlib", "view", "reports (or give --no-page)"):
            import matplotlib.figure  # noqa: F401
        if self.pictures:
            with needs("scikit-image", "view", "pictures of structures (or give --pictures 0)"):
                import skimage.measure  # noqa: F401


def evaluate_models(
    jobs: Sequence[Job],
    ids: Sequence[str] | None,
    folder: Path,
    reporting: Reporting | None = None,
    *,
    training: Sequence[str] = (),
    workers: Workers | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> list[dict[str, Any]]:
    """Judge one or more models on the same references, and write the report.

    Parameters
    ----------
    jobs
        The models, on one data set.
    ids, training, workers, on_progress
        As for :func:`~.job.evaluate_dataset`.
    folder
        For results and report.
    reporting
        What to write.

    Returns
    -------
    list of dict
        Evaluations in the order of the jobs. Of several models, the report and
        ``evaluation.json`` have the details of the best one, see :func:`best_of`.
    """
    reporting = reporting or Reporting()
    reporting.check()
    found = [
        evaluate_dataset(
            job, ids, folder=folder, training=training, workers=workers, on_progress=on_progress
        )
        for job in jobs
    ]
    best = best_of(found)
    report(jobs[best], found[best], folder, reporting, found)
    return found


def best_of(evaluations: Sequence[Mapping[str, Any]]) -> int:
    """Index of the one with the smallest error, by a figure that all of them have.

    Models of other bases than the data set's have no (b), and all are ranked by (a) then.

    >>> first = {"own_error": "nmae_fit_percent", "headline": "nmae_scf_percent",
    ...          "mean": {"nmae_fit_percent": 0.1, "nmae_scf_percent": 0.4}}
    >>> other = {"own_error": "nmae_scf_percent", "headline": "nmae_scf_percent",
    ...          "mean": {"nmae_scf_percent": 0.3}}
    >>> best_of([first, other])
    1
    """
    known = ({one["own_error"], one["headline"]} for one in evaluations)
    figure = own_error(set.intersection(*known))
    return min(range(len(evaluations)), key=lambda k: evaluations[k]["mean"][figure])


def report(
    job: Job,
    evaluation: dict[str, Any],
    folder: Path,
    reporting: Reporting,
    models: Sequence[dict[str, Any]] = (),
) -> None:
    """Write ``evaluation.json`` and the page of an evaluation.

    Parameters
    ----------
    job, evaluation
        What was judged, and the result.
    folder
        Where to write.
    reporting
        What to write.
    models
        Evaluations of all models that are compared.
    """
    write_evaluation(folder, evaluation, models)
    if not reporting.page:
        return
    from .pictures import draw_worst
    from .report import REPORT, write_report

    model, dataset = job.open()
    structures, figure = evaluation["structures"], evaluation["own_error"]
    worst = draw_worst(model, dataset, structures, figure, reporting.pictures)
    write_report(folder / REPORT, evaluation, worst, models)
