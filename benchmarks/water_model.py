"""Errors of the shipped water model on its held-out clusters, references made on the spot.

The test part of the data set is drawn from the geometries in ``models/water-pbe``, as the
recipe draws it; PySCF computes its references (some ten minutes on two cores, resumable), and
the model in the repository is judged on them. Run

    python benchmarks/water_model.py
"""

import argparse
from pathlib import Path

from tqdm import tqdm
from water_recipe import RECIPE, parts_of_the_recipe

from ase_rholearn import load_model
from ase_rholearn.references.pyscf import PySCF
from ase_rholearn.training.data import DataSet
from ase_rholearn.training.evaluation import Job, Reporting, Settings, evaluate_models
from ase_rholearn.training.generation import generate
from ase_rholearn.training.options import GenerateOptions, load_options


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, default=RECIPE / "work" / "test-data")
    parser.add_argument("--level", type=int, default=2, help="quality of the quadrature, 0 to 5")
    parser.add_argument("--page", action="store_true", help="write evaluation/report.html too")
    arguments = parser.parse_args()
    making = load_options(GenerateOptions, RECIPE / "generate.yaml")
    code = PySCF(load_model("water-pbe").basis, making.kohn_sham.settings())
    dataset = DataSet.create(arguments.work, code.basis, code.settings())
    clusters = parts_of_the_recipe()["test"]
    held_out = [dataset.id_of(atoms) for atoms in clusters]
    with tqdm(total=len(held_out), unit="structure") as bar:
        generate(
            clusters,
            dataset,
            code,
            making.workers.workers(),
            on_progress=lambda progress: bar.update(progress.done + progress.failed - bar.n),
        )
    job = Job("water-pbe", dataset.folder, Settings(arguments.level), device="cpu")
    with tqdm(total=len(held_out), unit="structure") as bar:
        [result] = evaluate_models(
            [job],
            held_out,
            arguments.work / "evaluation",
            Reporting(page=arguments.page),
            workers=making.workers.workers(),
            on_progress=lambda progress: bar.update(progress.done - bar.n),
        )
    print(f"{len(held_out)} clusters that the model has not seen")
    print(f"{'':44} {'mean':>9} {'worst':>9}")
    for name, meaning in result["meaning"].items():
        if name in result["mean"]:
            print(f"{meaning:44} {result['mean'][name]:9.4f} {result['worst'][name]:9.4f}")


if __name__ == "__main__":
    main()
