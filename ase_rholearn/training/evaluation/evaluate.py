"""Quality figures of a model on reference densities.

For each structure, in percent of the integrated density (NMAE):

(a) prediction against the self-consistent density,
(b) prediction against the fitted density,
(c) fitted against the self-consistent density: the floor of the basis,
(d) density after one Kohn-Sham diagonalisation with the predicted one, against the
    self-consistent density,
(e) the same after the linear response of these orbitals.

(a), (c), (d) and (e) need references that kept their orbitals. Of crystals only (b) is known, on a
grid over the cell with voxel-averaged cores where its angles are right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ...model import DensityModel
from ...references import Reference
from .structure import Settings, judge
from .summary import summarize


def evaluate(
    model: DensityModel,
    references: Iterable[Reference],
    *,
    level: int = 2,
    one_shot: bool = True,
    on_progress: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Judge a model on references that it was not trained on.

    For data sets on disk, :func:`~ase_rholearn.training.evaluation.evaluate_dataset` does the
    same with several processes, and goes on where it was interrupted.

    Parameters
    ----------
    model
        The model.
    references
        Made with the model's basis and level of theory.
    level
        Quality of the quadrature, 0 to 5.
    one_shot
        Whether to compute figures (d) and (e), which cost as much as an SCF cycle or two.
    on_progress
        Called after each structure.

    Returns
    -------
    dict
        ``structures``: for each one id, formula and figures; ``mean``, ``median`` and ``worst``
        of each figure; ``meaning`` of their names; and what :func:`~.summary.summarize` adds.
    """
    settings = Settings(level, one_shot)
    structures = []
    for reference in references:
        structures.append(judge(model, reference, settings))
        if on_progress is not None:
            on_progress()
    return {**summarize(structures), "structures": structures}
