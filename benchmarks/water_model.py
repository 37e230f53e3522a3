"""Errors of the shipped water model on its held-out clusters.

The test part of the data set in ``models/water-pbe``, with PySCF's orbitals, on which the model in
the repository is judged; some minutes on two cores, resumable. Run

    python benchmarks/water_model.py
"""

import argparse
from pathlib import Path

from tqdm import tqdm
from water_recipe import RECIPE

from ase_rholearn.training.data import DataSet, read_split
from ase_rholearn.training.evaluation import Job, Reporting, Settings, evaluate_models
from ase_rholearn.training.options import GenerateOptions, load_options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=RECIPE / "work" / "evaluation")
    parser.add_argument("--level", type=int, default=2, help="quality of the quadrature, 0 to 5")
    parser.add_argument("--page", action="store_true", help="write report.html too")
    arguments = parser.parse_args()
    workers = load_options(GenerateOptions, RECIPE / "generate.yaml").workers.workers()
    dataset = DataSet.open(RECIPE / "densities")
    held_out = read_split(RECIPE / "split.json", dataset.ids)["test"]
    job = Job("water-pbe", dataset.folder, Settings(arguments.level), device="cpu")
    with tqdm(total=len(held_out), unit="structure") as bar:
        [result] = evaluate_models(
            [job],
            held_out,
            arguments.work,
            Reporting(page=arguments.page),
            workers=workers,
            on_progress=lambda progress: bar.update(progress.done - bar.n),
        )
    print(f"{len(held_out)} clusters that the model has not seen")
    print(f"{'':44} {'mean':>9} {'worst':>9}")
    for name, meaning in result["meaning"].items():
        if name in result["mean"]:
            print(f"{meaning:44} {result['mean'][name]:9.4f} {result['worst'][name]:9.4f}")


if __name__ == "__main__":
    main()
