"""The tutorials, as a reader goes through them: each block of code and each command."""

from __future__ import annotations

from pathlib import Path

import pytest
from markdown_pages import PageRunner, alike, blocks_of, fits

TUTORIALS = sorted((Path(__file__).parents[2] / "docs" / "tutorials").glob("*.md"))


@pytest.mark.slow
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda page: page.stem)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # temporary files that PySCF does not close
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_tutorial_runs(page: Path, page_runner: PageRunner) -> None:
    for need in ("h5py", "matplotlib", "pyscf", "skimage", "tblite"):
        pytest.importorskip(need)
    page_runner.run(page)


def test_blocks_know_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Page\n\n```python\nx = 1\n```\n\n```\nnot code\n```\n\n```bash\nls\n```\n")
    assert [(block.language, block.text, block.line) for block in blocks_of(page)] == [
        ("python", "x = 1\n", 4),
        ("bash", "ls\n", 12),
    ]


def test_errors_of_a_page_are_found(tmp_path: Path, page_runner: PageRunner) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1.5)\n```\n\n```text\n2.5\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 6 shows"):
        page_runner.run(page)
    page.write_text("```bash\nase-rholearn info nowhere.pt\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 2: ase-rholearn info"):
        page_runner.run(page)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[0.352, 0.1]", "[0.35179412 0.09385117]", True),
        ("1.00 eV", "1.03 eV", True),
        ("1.00 eV", "1.06 eV", False),
        ("0.000", "4.1e-9", True),
        ("0.000", "-2e-16", True),
        ("9", "10", True),
        ("9", "11", False),
        ("wrote a.cube", "wrote b.cube", False),
        ("1 2", "1", False),
    ],
)
def test_numbers_that_are_shown(shown: str, printed: str, same: bool) -> None:
    assert alike(shown, printed) == same


def test_gaps() -> None:
    assert fits(["a", "...", "d"], ["a", "b", "c", "d"])
    assert fits(["...", "b", "..."], ["a", "b"])
    assert not fits(["a", "..."], ["b", "a"])
    assert not fits(["a"], ["a", "b"])
