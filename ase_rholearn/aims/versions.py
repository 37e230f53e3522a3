"""Versions of FHI-aims as numbers, and the convention of files that follows from them.

From 240403 on, files of the product basis are in the order and with the signs of this package.
Earlier ones come in FHI-aims' own order, with other signs of functions of odd positive m.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

#: First version whose files are in the standard order, as YYMMDD.
STANDARD_SINCE = 240403

#: Name of FHI-aims' output in a run's directory.
OUTPUT = "aims.out"

#: Files that versions before :data:`STANDARD_SINCE` write, and no later one.
INDEX_FILES = ("idx_prodbas.out", "prodbas_condon_shotley_list.out")

_VERSION_LINE = re.compile(r"^\s*(?:FHI-aims version\s*:|Version)\s+(\S+)\s*$")
_INVOKING = re.compile(r"Invoking FHI-aims")

#: The version is near the beginning of the output; its line differs between versions.
_HEAD_LINES = 400


def version_number(text: str | int) -> int:
    """A version as the number YYMMDD, which can be compared.

    Parameters
    ----------
    text
        As FHI-aims prints it, such as ``"240925"`` or ``"210716.2"``; or the number.

    Raises
    ------
    ValueError
        It does not begin with six digits that are a date.

    Examples
    --------
    >>> version_number("210716.2")
    210716
    """
    found = re.match(r"(\d{2})(\d{2})(\d{2})(?!\d)", str(text).zfill(6))
    if found is None or not (1 <= int(found[2]) <= 12 and 1 <= int(found[3]) <= 31):
        raise ValueError(
            f"{str(text)!r} is not a version of FHI-aims: give six digits YYMMDD, such as 240925"
        )
    return int(found[0])


def is_legacy(version: int) -> bool:
    """Whether files of this version are in FHI-aims' own order and signs."""
    return version < STANDARD_SINCE


def version_of_output(path: str | os.PathLike[str]) -> int | None:
    """Version that an output file names, or None if it names none.

    Raises
    ------
    ValueError
        The file names two versions.
    """
    found: tuple[int, int] | None = None
    invoked_at = None
    with Path(path).open(encoding="utf8", errors="replace") as stream:
        for number, line in enumerate(stream, 1):
            if _INVOKING.search(line):
                invoked_at = number
            if invoked_at is None or number - invoked_at > _HEAD_LINES:
                continue
            match = _VERSION_LINE.match(line)
            if match is None:
                continue
            version = version_number(match[1])
            if found is not None and found[1] != version:
                raise ValueError(
                    f"{path}, line {number}: version {version}, but line {found[0]} says "
                    f"{found[1]}: outputs of two runs are in one file"
                )
            found = number, version
    return None if found is None else found[1]


def version_of_directory(
    directory: str | os.PathLike[str], version: str | int | None = None
) -> int:
    """Version that wrote the files of a directory, from what is given and what lies there.

    Parameters
    ----------
    directory
        Of a run.
    version
        Of FHI-aims, where the directory has no output that says so.

    Raises
    ------
    ValueError
        The version is unknown, or the files of the directory belong to another one.
    """
    folder, output = Path(directory), Path(directory) / OUTPUT
    said = version_of_output(output) if output.exists() else None
    given = None if version is None else version_number(version)
    if given is None and said is None:
        raise ValueError(
            f"{output} does not name the version of FHI-aims, on which the order and the signs of "
            "its files depend: keep the output beside them under this name, or give `version`"
            if output.exists()
            else f"there is no {output}, so the version of FHI-aims, on which the order and the "
            "signs of its files depend, is unknown: give `version`"
        )
    if given is not None and said is not None and is_legacy(given) != is_legacy(said):
        raise ValueError(
            f"version is {given}, but {output} is of {said}, whose files have another order and "
            "other signs: leave `version` out"
        )
    found = said if said is not None else given
    assert found is not None
    there = [name for name in INDEX_FILES if (folder / name).exists()]
    if is_legacy(found) and len(there) < len(INDEX_FILES):
        absent = next(name for name in INDEX_FILES if name not in there)
        raise ValueError(
            f"files of version {found} are in FHI-aims' own order, and {folder / absent}, which "
            "leads to the standard one, is not there: run FHI-aims with ri_full_output or "
            "`ri_density_restart read_init`"
        )
    if not is_legacy(found) and there:
        raise ValueError(
            f"{folder / there[0]} is there, which only versions before {STANDARD_SINCE} write, "
            f"but the version is {found}: the directory mixes files of two versions"
        )
    return found
