"""The report of an evaluation: the command, and the page in a real browser."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import needs_browser, used

from ase_rholearn.training import DataSet
from ase_rholearn.training.data import write_split
from ase_rholearn.training.evaluation import Job, Settings, evaluate_dataset
from ase_rholearn.training.evaluation.report import write_report
from ase_rholearn.training.evaluation.verdict import lead, remarks
from ase_rholearn.training.export import export_run

pytest.importorskip("matplotlib")
pytest.importorskip("skimage")

Command = Callable[..., tuple[int, str, str]]

COARSE = ("--level", "0", "--no-one-shot")


@pytest.fixture(scope="module")
def model_file(run: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.pt"
    export_run(run.options, path, "float64")
    return path


@pytest.fixture(scope="module")
def evaluation(
    model_file: Path, dataset: DataSet, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    job = Job(model_file, dataset.folder, Settings(0, True))
    names = dataset.ids
    folder = tmp_path_factory.mktemp("evaluation")
    return evaluate_dataset(job, names[:3], folder=folder, training=names[4:])


@pytest.fixture
def split(dataset: DataSet, tmp_path: Path) -> Path:
    names = dataset.ids
    path = tmp_path / "split.json"
    write_split(path, {"training": names[:4], "validation": names[4:6], "test": names[6:]})
    return path


# the page ---------------------------------------------------------------------------------

#: Runs after the page: sorts a table by each of its columns, and says what there is.
LOOK = """
const result = { errors };
const resources = performance.getEntriesByType("resource").map(entry => entry.name);
result.requests = resources.filter(name => !name.startsWith("data:"));
result.figures = [...document.querySelectorAll("figure h3")].map(head => head.textContent);
result.drawings = [...document.querySelectorAll("figure svg")].map(
  svg => [svg.getBoundingClientRect().width, svg.querySelectorAll("text").length]);
result.pictures = [...document.querySelectorAll("img")].map(img => img.naturalWidth);
const tables = [...document.querySelectorAll("table")], table = tables[tables.length - 1];
const column = k => [...table.tBodies[0].rows].map(row => row.cells[k].textContent);
result.sorted = [];
[...table.tHead.querySelectorAll("button")].forEach((button, k) => {
  for (const click of [1, 2]) { button.click(); result.sorted.push(column(k)); }
});
result.wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
result.text = document.querySelector(".lead").textContent;
document.body.dataset.result = JSON.stringify(result);
</script>"""

#: Before everything else in the page.
LISTEN = "<head><script>const errors = []; onerror = text => errors.push(String(text));</script>"


@needs_browser
def test_the_page_in_a_browser(evaluation: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    write_report(path, evaluation, models=[evaluation, evaluation])
    found = used(path.read_text().replace("<head>", LISTEN, 1), tmp_path, LOOK)
    assert found["errors"] == []
    assert found["requests"] == []
    assert found["figures"] == [
        "Errors of all structures",
        "Error and size",
        "Error and distance from the training set",
        "Errors of atoms",
        "Coefficients",
        "Dipole moments",
        "Calibration of uncertainties",
        "Time of predictions",
        "Epochs",
    ]
    assert all(width > 100 and texts > 2 for width, texts in found["drawings"])
    assert found["wide"] == 0
    assert found["text"] == lead(evaluation)
    # every second click sorts the other way
    numbers = [[float(v) for v in column] for column in found["sorted"][2 * 2 :]]
    for down, up in zip(numbers[::2], numbers[1::2], strict=True):
        assert down == sorted(down, reverse=True)
        assert up == sorted(up)


def test_the_page_needs_nothing_else(evaluation: dict[str, Any], tmp_path: Path) -> None:
    strange = json.loads(json.dumps(evaluation))
    strange["model"]["name"] = "<script>alert(1)</script> @STYLE@"
    write_report(tmp_path / "report.html", strange)
    page = (tmp_path / "report.html").read_text()
    assert len(page) < 1e6
    assert not re.search(r"https?:|@import|<link|url\((?!#)", page)
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt; @STYLE@" in page
    assert "prefers-color-scheme: dark" in page
    # drawings have the colours of the page
    assert "currentColor" in page
    assert "#0072b2" not in page.split("</style>")[1]


def test_verdict(evaluation: dict[str, Any]) -> None:
    assert lead(evaluation).startswith(
        "On 3 structures that the model has not seen, the predicted density differs from the "
        "self-consistent density by "
    )
    said = " ".join(remarks(evaluation))
    assert "the basis limits the accuracy" in said
    assert "One Kohn-Sham diagonalisation" in said
    seen = {**evaluation, "data": {**evaluation["data"], "seen_in_training": 2}}
    assert "was trained on 2 of these 3 structures" in " ".join(remarks(seen))
    unknown = {**evaluation, "data": {**evaluation["data"], "seen_in_training": None}}
    assert "It is not known whether" in " ".join(remarks(unknown))
    assert "has not seen" not in lead(unknown)


def test_page_with_energies_and_uncertainties(evaluation: dict[str, Any], tmp_path: Path) -> None:
    """What only some models have."""
    from ase_rholearn.training.evaluation.summary import summarize

    structures = [json.loads(json.dumps(entry)) for entry in evaluation["structures"] * 3]
    for k, entry in enumerate(structures):
        entry["per_atom"]["uncertainty_electrons"] = [0.01 * (k + j + 1) for j in range(3)]
        entry["per_atom"]["extrapolation"] = [0.5, 0.8, 0.5 + k]
        entry["energy_ev"] = {"predicted": -1.0 * k, "reference": -1.1 * k}
        entry["forces_ev_per_angstrom"] = {"predicted": [[0.1] * 3], "reference": [[0.2] * 3]}
        entry["energy_error_mev_per_atom"] = 1.5
    known = {**evaluation, **summarize(structures), "structures": structures}
    write_report(tmp_path / "report.html", known)
    page = (tmp_path / "report.html").read_text()
    for title in ("Calibration of uncertainties", "Energies", "Forces"):
        assert f"<h3>{title}</h3>" in page
    assert "In 8 of 9 structures an atom" in page
    assert "Rank correlation of expected and true errors of atoms: H " in page
    assert "energy" in page.split("</ul>")[0]
    assert "Energies differ by 1.5 meV/atom, forces by 100 meV/Å" in page


def test_info_says_how_well_a_training_went(command: Command, model_file: Path) -> None:
    """The stages in a line, not the epochs."""
    status, out, _ = command("info", model_file)
    assert status == 0
    [line] = [line for line in out.splitlines() if line.startswith("stages")]
    shape = r"start \S+ %, gradient \S+ %, finish \S+ % of the deformation density, validation part"
    assert re.search(shape, line)
    assert len(out) < 3000


def test_what_a_file_says_of_its_training(evaluation: dict[str, Any], tmp_path: Path) -> None:
    """The section follows the file: epochs and stages, stages alone, or nothing."""

    def page(history: dict[str, Any] | None) -> str:
        card = {**evaluation["model"]["card"], "history": history}
        changed = {**evaluation, "model": {**evaluation["model"], "card": card}}
        write_report(tmp_path / "report.html", changed)
        return (tmp_path / "report.html").read_text()

    history = evaluation["model"]["card"]["history"]
    assert len(history["epochs"]) == 4
    stages = {"start": 3.0, "finish": 2.0, "later": 4.0}
    whole = page({**history, "stages": stages})
    assert "<h3>Epochs</h3>" in whole
    assert "<dt>history" not in whole
    rows = re.findall(r"<tr><td>([^<]*)</td><td[^>]*>([^<]*)</td><td>(yes|)</td></tr>", whole)
    expected = [("closed-form start", "3.0", ""), ("readout solved again", "2.0", "yes")]
    assert rows == [*expected, ("later", "4.0", "")]
    alone = {"part": "training", "stages": stages, "epochs": (), "training": (), "validation": ()}
    closed = page(alone)
    assert "of the training part after each stage" in closed
    assert "<h3>Epochs</h3>" not in closed
    assert "readout solved again" in closed
    assert "<h2>Training</h2>" not in page(None)


# the command ------------------------------------------------------------------------------


def test_models_are_compared(
    command: Command, model_file: Path, dataset: DataSet, split: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    status, out, err = command(
        "evaluate", model_file, model_file, dataset.folder, "--split", split, "-o", folder,
        *COARSE, "--pictures", "1",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert out.count("tiny (") == 2
    assert out.count("(b) NMAE against the fitted density, %") == 2
    assert out.splitlines()[-1] == f"wrote {folder / 'report.html'}"
    stored = json.loads((folder / "evaluation.json").read_text())
    assert stored["schema"] == [1, 1]
    assert [one["name"] for one in stored["models"]] == ["tiny", "tiny"]
    assert stored["data"]["structures"] == 2
    assert "coefficients" not in stored["structures"][0]
    assert stored["versions"]["ase-rholearn"]
    page = (folder / "report.html").read_text()
    assert page.count("data:image/png") >= 2
    assert "<h2>Models</h2>" in page


def test_one_model_without_a_page(
    command: Command, model_file: Path, dataset: DataSet, tmp_path: Path
) -> None:
    names = tmp_path / "ids.txt"
    names.write_text(dataset.ids[3])
    status, out, err = command(
        "evaluate", model_file, dataset.folder, "--ids", names, "-o", tmp_path / "out", *COARSE,
        "--no-page",
    )  # fmt: skip
    assert (status, err) == (0, "")
    assert out.splitlines()[-1] == f"wrote {tmp_path / 'out' / 'evaluation.json'}"
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_run_has_a_page(run: Any, command: Command, tmp_path: Path) -> None:
    import yaml

    folder = tmp_path / "out"
    shutil.copytree(run.options.output, folder)
    options = tmp_path / "train.yaml"
    content = {**run.options.model_dump(mode="json"), "output": str(folder)}
    options.write_text(yaml.safe_dump(content))
    arguments = (*COARSE, "--part", "validation", "--pictures", "0")
    status, out, err = command("evaluate", options, *arguments)
    assert (status, err) == (0, "")
    page = folder / "evaluation-validation" / "report.html"
    assert out.splitlines()[-1] == f"wrote {page}"
    assert str(folder) in page.read_text()
    status, _, err = command("evaluate", options, "--ids", options)
    assert (status, err) == (
        1,
        "ase-rholearn: --ids is for model files: a run knows it, leave it out\n",
    )


def test_mistakes(
    command: Command, model_file: Path, dataset: DataSet, split: Path, tmp_path: Path
) -> None:
    foreign = tmp_path / "foreign.pt"
    foreign.write_text("no model")
    data = dataset.folder
    for arguments, message in (
        ((data,), "is given alone: give a model and a data set, or the options"),
        ((model_file, "train.yaml"), "train.yaml holds options: give the folder of a data set"),
        ((model_file, tmp_path), "holds no data set"),
        (("no-model", data), "there is no such file, and no such shipped model"),
        ((foreign, data), "is not a model file, or it is truncated"),
        (("water-pbe", data), "levels of theory (orbital_basis: 'def2-tzvp' and 'def2-svp')"),
        ((model_file, data, "--ids", split, "--split", split), "--ids and --split are given"),
        ((model_file, data, "--ids", tmp_path / "no.txt"), "there is no file"),
        ((model_file, data, "--split", split, "--part", "all"), "part is 'all': give one of"),
    ):
        status, out, err = command("evaluate", *arguments, "-o", tmp_path / "out")
        assert (status, out) == (1, "")
        assert message in err
        assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help(command: Command) -> None:
    status, out, _ = command("evaluate", "--help")
    assert status == 0
    for option in ("--split", "--ids", "--processes", "--other-basis", "--no-page"):
        assert option in out
    assert "[MODEL]..." in out
