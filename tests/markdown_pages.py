"""Runs the code of a page of the documentation, as a reader would who goes through it in order.

All blocks of a page share one namespace and one folder:

- ``python`` runs here;
- ``bash`` runs line by line, ``ase-rholearn`` in this process, everything else in a shell;
- a block whose first line is ``# NAME`` with the suffix .yaml, .xyz or .smi is that file;
- ``text`` is what the block before it printed. Words must be the same, numbers nearly so, and
  ``...`` stands for any number of lines.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\S+\.(?:yaml|xyz|smi))\n")


@dataclass(frozen=True)
class Block:
    """What is between two fences, and the line of the page that it begins in."""

    language: str
    text: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page that name a language."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start(2)) + 1)
        for found in FENCE.finditer(text)
    ]


@dataclass
class PageRunner:
    """Runs pages in a folder.

    Parameters
    ----------
    folder
        What files are written into; the working directory.
    command
        Runs ``ase-rholearn`` with arguments: status, standard output, standard error.
    printed
        What was printed since the last call.
    """

    folder: Path
    command: Callable[..., tuple[int, str, str]]
    printed: Callable[[], str]

    def run(
        self,
        page: Path,
        *,
        commands: bool = True,
        replace: Mapping[str, str] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Run all blocks of a page.

        Parameters
        ----------
        page
            The file.
        commands
            Whether blocks of a shell run too.
        replace
            What stands in Python code, and what runs instead.
        given
            Names that the page takes for granted.

        Returns
        -------
        dict
            The namespace at the end.
        """
        found = dict(given or {})
        output = ""
        for block in blocks_of(page):
            place = f"{page.name}, line {block.line}"
            if block.language == "text":
                check_output(block.text, output, place)
            elif named := FILE.match(block.text):
                (self.folder / named[1]).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                # so that tracebacks show the lines of the page
                source = "\n" * (block.line - 1) + block.text
                for old, new in (replace or {}).items():
                    source = source.replace(old, new)
                exec(compile(source, str(page), "exec"), found)
                output = self.printed()
            elif block.language == "bash" and commands:
                lines = block.text.replace("\\\n", " ").splitlines()
                output = "".join(self.line(line, place) for line in lines)
        return found

    def line(self, line: str, place: str) -> str:
        """Run one line of a shell: its standard output."""
        words = shlex.split(line, comments=True)
        if words[:1] == ["ase-rholearn"]:
            status, output, error = self.command(*words[1:])
        else:
            done = subprocess.run(
                ["bash", "-c", line], cwd=self.folder, capture_output=True, text=True, check=False
            )
            status, output, error = done.returncode, done.stdout, done.stderr
        # progress bars go to standard error
        assert status == 0, f"{place}: {line}\n{output}{error}"
        return output


def check_output(shown: str, printed: str, place: str) -> None:
    """Compare what a page shows with what was printed."""
    same = fits(shown.splitlines(), printed.splitlines())
    assert same, f"{place} shows\n{shown}but this was printed:\n{printed}"


def fits(shown: list[str], printed: list[str]) -> bool:
    """Whether lines that are shown, with gaps, are all that was printed."""
    if not shown:
        return not printed
    if shown[0].strip() == "...":
        return any(fits(shown[1:], printed[k:]) for k in range(len(printed) + 1))
    return bool(printed) and alike(shown[0], printed[0]) and fits(shown[1:], printed[1:])


def alike(shown: str, printed: str) -> bool:
    """Whether two lines have the same words, and numbers that differ by rounding only."""
    pairs = list(zip(words_of(shown), words_of(printed), strict=False))
    return len(words_of(shown)) == len(words_of(printed)) and all(
        one == other or close(one, other) for one, other in pairs
    )


def words_of(line: str) -> list[str]:
    """Words and numbers of a line, without brackets and commas."""
    return re.sub(r"[\[\](),|]", " ", line).split()


def close(shown: str, printed: str) -> bool:
    """Whether two words are numbers that differ by 2 %, or by rounding of the one that is shown."""
    try:
        a, b = Decimal(shown), Decimal(printed)
    except InvalidOperation:
        return False
    last = Decimal(1).scaleb(int(a.as_tuple().exponent))
    # counts may differ by one, other numbers by some of their last digits
    return abs(a - b) <= max(last * (1 if last == 1 else 5), abs(a) / 50)
