"""Dividing a data set into parts for training, validation and test."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from ...files import atomic_write
from .dataset import DataSet

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

    Examples
    --------
    >>> parts = split_ids([f"{i:02d}" for i in range(10)], 0.2, 0.2, seed=0)
    >>> {name: len(part) for name, part in parts.items()}
    {'training': 6, 'validation': 2, 'test': 2}
    """
    if not (0 <= validation < 1 and 0 <= test < 1 and validation + test < 1):
        raise ValueError(
            f"validation is {validation} and test is {test}: give fractions that leave something "
            "for training"
        )
    members: dict[str, list[str]] = {}
    for name in sorted(ids):
        members.setdefault(groups[name] if groups else name, []).append(name)
    ordered = sorted(members)
    shuffled = [ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))]
    wanted = {"validation": round(validation * len(ids)), "test": round(test * len(ids))}
    count = dict.fromkeys(wanted, 0)
    taken: dict[str, list[str]] = {part: [] for part in wanted}
    # the last groups go into the test part, those before them into the validation part
    for part in ("test", "validation"):
        left: list[str] = []
        for group in reversed(shuffled):
            fits = _fits(len(members[group]), wanted[part] - count[part])
            (taken[part] if fits else left).append(group)
            count[part] += len(members[group]) if fits else 0
        shuffled = left[::-1]
    taken = {"training": shuffled, **{part: taken[part][::-1] for part in PARTS[1:]}}
    parts = {part: [name for group in taken[part] for name in members[group]] for part in PARTS}
    if not parts["training"] or (validation > 0 and not parts["validation"]):
        unit = "groups" if groups else "structures"
        raise ValueError(
            f"{len(ordered)} {unit} are too few for validation = {validation} and test = {test}: "
            "give fractions that at least one each makes up, or 0"
        )
    return parts


def extend_split(
    parts: Mapping[str, Sequence[str]],
    ids: Iterable[str],
    *,
    groups: Mapping[str, str] | None = None,
) -> dict[str, list[str]]:
    """A split whose training part has further names; validation and test part stay.

    Parameters
    ----------
    parts
        The split.
    ids
        Names of all references.
    groups
        The group of each name: what belongs to a group of the validation or test part is left
        out, for it would tell what these are to ask.

    Examples
    --------
    >>> parts = {"training": ["a"], "validation": ["b"], "test": []}
    >>> extend_split(parts, "abcd", groups={"a": "CO", "b": "CN", "c": "CN", "d": "CC"})
    {'training': ['a', 'd'], 'validation': ['b'], 'test': []}
    """
    known = {name for part in PARTS for name in parts[part]}
    held_out = {groups[name] for part in PARTS[1:] for name in parts[part]} if groups else set()
    new = [name for name in sorted(ids) if name not in known]
    free = [name for name in new if not groups or groups[name] not in held_out]
    return {**{part: list(parts[part]) for part in PARTS}, "training": [*parts["training"], *free]}


def groups_by(dataset: DataSet, key: str) -> dict[str, str]:
    """The value of ``atoms.info[key]`` of each reference, by id.

    Raises
    ------
    ValueError
        A structure lacks the key.
    """
    found, missing = {}, []
    for name in dataset.ids:
        info = dataset.notes(name)["info"]
        if key in info:
            found[name] = json.dumps(info[key], sort_keys=True)
        else:
            missing.append(name)
    if missing:
        raise ValueError(
            f"group is {key!r}: {len(missing)} of {len(missing) + len(found)} structures have no "
            f"such entry in atoms.info, the first is {missing[0]}"
        )
    return found


def write_split(path: str | os.PathLike[str], parts: Mapping[str, Sequence[str]]) -> None:
    """Write the ids of each part as JSON; :func:`read_split` reads them."""
    with atomic_write(path, "w") as stream:
        json.dump({part: list(parts[part]) for part in PARTS}, stream, indent=1)


def read_split(
    path: str | os.PathLike[str], ids: Iterable[str] | None = None
) -> dict[str, list[str]]:
    """Ids of each part from a file of :func:`write_split`, or ``split.json`` of a run.

    Parameters
    ----------
    path
        The file.
    ids
        Those of the data set. It may have others too, which belong to no part.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, it has another form, an id is there twice or is not in the data
        set.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no split file {path}")
    try:
        data = json.loads(path.read_text())
        parts = {part: [str(name) for name in data[part]] for part in PARTS}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f'{path} is no split: give JSON {{"training": [ids], "validation": [ids], '
            '"test": [ids]}'
        ) from error
    names = [name for part in parts.values() for name in part]
    if len(set(names)) < len(names):
        [(twice, _)] = Counter(names).most_common(1)
        raise ValueError(f"{path}: the id {twice!r} is there more than once")
    unknown = sorted(set(names) - set(ids)) if ids is not None else []
    if unknown:
        raise ValueError(
            f"{path}: {len(unknown)} of {len(names)} ids are not in the data set, the first is "
            f"{unknown[0]!r}"
        )
    if not parts["training"]:
        raise ValueError(f"{path}: the training part is empty")
    return parts


def read_ids(path: str | os.PathLike[str], part: str | None = None) -> list[str]:
    """Ids from a text file, one a line, or one part of a split.

    Parameters
    ----------
    path
        A text file, or a file of :func:`write_split` if ``part`` is given.
    part
        ``"training"``, ``"validation"`` or ``"test"``.
    """
    if part is not None:
        if part not in PARTS:
            raise ValueError(f"part is {part!r}: give one of {', '.join(PARTS)}")
        return read_split(path)[part]
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    ids = path.read_text(errors="replace").split()
    if not ids:
        raise ValueError(f"{path} is empty: give one id a line")
    if ids[0].startswith("{"):
        raise ValueError(f"{path} looks like a split: say which part of it")
    return ids


def _fits(size: int, room: int) -> bool:
    """Whether a group comes nearer to what is wanted than leaving it out."""
    return room > 0 and size - room <= room
