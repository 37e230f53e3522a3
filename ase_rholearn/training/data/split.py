"""Dividing a data set into parts for training, validation and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

PARTS = ("training", "validation", "test")


def split_ids(
    ids: Sequence[str],
    validation: float,
    test: float,
    seed: int,
    *,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """Names of the training, validation and test part, drawn at random.

    The draw depends on the names and the seed alone, not on their order.

    Parameters
    ----------
    ids
        Names of references.
    validation, test
        Fractions.
    seed
        Of the draw.
    groups
        The group of each name, such as its molecule: a group is never divided, so that the
        fractions are met as nearly as whole groups allow.

    >>> parts = split_ids([f"{i:02d}" for i in range(10)], 0.2, 0.2, seed=0)
    >>> {name: len(part) for name, part in parts.items()}
    {'training': 6, 'validation': 2, 'test': 2}
    """
    members: dict[str, list[str]] = {}
    for name in sorted(ids):
        members.setdefault(groups[name] if groups else name, []).append(name)
    ordered = sorted(members)
    shuffled = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    wanted = {"validation": round(validation * len(ids)), "test": round(test * len(ids))}
    parts: dict[str, list[str]] = {name: [] for name in PARTS}
    # the last groups go into the test part, those before them into the validation part
    for part in ("test", "validation"):
        while shuffled and _fits(len(members[shuffled[-1]]), wanted[part] - len(parts[part])):
            parts[part][:0] = members[shuffled.pop()]
    parts["training"] = [name for group in shuffled for name in members[group]]
    if not parts["training"] or (validation > 0 and not parts["validation"]):
        unit = "groups" if groups else "structures"
        raise ValueError(
            f"{len(ordered)} {unit} are too few for validation = {validation} and test = {test}"
        )
    return parts


def _fits(size: int, room: int) -> bool:
    """Whether a group comes nearer to what is wanted than leaving it out."""
    return room > 0 and size - room <= room
