"""Energies, forces and starts from the shipped water model against self-consistent calculations.

PBE/def2-TZVP with density-fitted Coulomb integrals, the level of the model's references. Parts:

    python benchmarks/harris_forces.py clusters    # errors on held-out clusters
    python benchmarks/harris_forces.py cycles      # SCF cycles saved, and by an exact fit
    python benchmarks/harris_forces.py time        # CPU time beside that of PySCF, 24 atoms
    python benchmarks/harris_forces.py dimer       # relaxed water dimer beside PySCF's
    python benchmarks/harris_forces.py nve         # drift of the energy in dynamics

``--sizes`` and ``--each`` choose how many clusters of how many molecules. Every calculation is kept
in the work folder as it ends, and a second run goes on from there. One thread, CPU times.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import read
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution, Stationary
from ase.md.verlet import VelocityVerlet
from ase.optimize import BFGS
from water_recipe import RECIPE, parts_of_the_recipe

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis
from ase_rholearn.files import temporary_sibling
from ase_rholearn.references.pyscf import KohnSham, density_from_mean_field
from ase_rholearn.references.pyscf.products import numpy_products
from ase_rholearn.references.pyscf.run import kohn_sham
from ase_rholearn.scf import GuessWarning, initial_guess

WORK = RECIPE / "work" / "harris"
LEVEL = KohnSham("PBE", "def2-tzvp")


def chosen(structures: list[Atoms], sizes: list[int], each: int) -> list[Atoms]:
    """The first few clusters of each number of molecules."""
    return [a for n in sizes for a in [b for b in structures if len(b) == 3 * n][:each]]


def kept(
    name: str, atoms: Atoms, work: Callable[[], dict[str, Any]], root: Path = WORK
) -> dict[str, Any]:
    """The result of some work on a structure, from the work folder if it was done before."""
    key = "".join(f"{x:.6f}" for x in atoms.positions.ravel()) + atoms.get_chemical_formula()
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{abs(hash_of(key)):016x}.json"
    if not path.exists():
        with temporary_sibling(path) as temporary:
            temporary.write_text(json.dumps(work()))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def hash_of(text: str) -> int:
    """The same in every process."""
    import hashlib

    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def self_consistent(atoms: Atoms, forces: bool = True) -> dict[str, Any]:
    """Energy (eV) and forces (eV/Angstrom) by PySCF, with CPU seconds of both."""
    mean_field = kohn_sham(atoms, LEVEL)
    start = time.process_time()
    with numpy_products():
        mean_field.with_df.build()
        energy = mean_field.kernel() * units.Hartree
        middle = time.process_time()
        found = None
        if forces:
            gradient = mean_field.nuc_grad_method()
            gradient.grid_response = True
            found = (-gradient.kernel() * units.Hartree / units.Bohr).tolist()
    return {
        "energy": energy,
        "forces": found,
        "scf": middle - start,
        "gradient": time.process_time() - middle,
        "cycles": int(mean_field.cycles),
    }


def harris(atoms: Atoms, forces: bool = True) -> dict[str, Any]:
    """The same from the model, by one diagonalisation."""
    mine = atoms.copy()
    mine.calc = RhoCalculator("water-pbe", device="cpu", energy="harris")
    start = time.process_time()
    energy = mine.get_potential_energy()
    middle = time.process_time()
    found = mine.get_forces().tolist() if forces else None
    return {
        "energy": energy,
        "forces": found,
        "one shot": middle - start,
        "gradient": time.process_time() - middle,
    }


def clusters(arguments: argparse.Namespace) -> None:
    """Errors of energies, after one constant a molecule, and of forces."""
    parts = parts_of_the_recipe()
    offsets = []
    for atoms in chosen(parts["training"], arguments.sizes[:3], arguments.each):
        usual = kept("scf-energy", atoms, lambda a=atoms: self_consistent(a, forces=False))
        mine = kept("harris-energy", atoms, lambda a=atoms: harris(a, forces=False))
        offsets.append((mine["energy"] - usual["energy"]) / (len(atoms) / 3))
    constant = float(np.mean(offsets))
    print(f"constant: {1000 * constant:.2f} meV a molecule, from {len(offsets)} training clusters")
    print(f"{'':10} {'energy, meV/atom':>17} {'forces, meV/A':>14} {'largest':>8}")
    energies, errors = [], []
    for atoms in chosen(parts["test"], arguments.sizes, arguments.each):
        usual = kept("scf", atoms, lambda a=atoms: self_consistent(a))
        mine = kept("harris", atoms, lambda a=atoms: harris(a))
        shift = constant * len(atoms) / 3
        energies.append(1000 * (mine["energy"] - usual["energy"] - shift) / len(atoms))
        error = 1000 * np.abs(np.array(mine["forces"]) - usual["forces"])
        errors.append(error.ravel())
        print(
            f"{atoms.get_chemical_formula():10} {energies[-1]:17.3f} {error.mean():14.2f} "
            f"{error.max():8.1f}",
            flush=True,
        )
    print(
        f"{len(energies)} clusters: energies {np.abs(energies).mean():.3f} meV/atom on average, "
        f"{np.abs(energies).max():.3f} at worst; forces {np.concatenate(errors).mean():.2f} meV/A"
    )


#: Thresholds of energies, Hartree, to which cycles are counted.
THRESHOLDS = (1e-9, 1e-6)


def cycles_of(atoms: Atoms, model: RhoCalculator, root: Path = WORK) -> dict[str, Any]:
    """Cycles from PySCF's start, from the model, and from a fit of the density itself.

    ``cycles`` has those to each of the thresholds. ``refused`` says that the start of the model
    was dropped for PySCF's. Only the second of the three depends on the model, and is kept under
    its fingerprint.
    """
    basis = model.model.basis
    usual = kept("cycles-usual", atoms, lambda: cycles_without_model(atoms, basis), root)
    name = f"cycles-{model.model.fingerprint[:12]}"
    mine = kept(name, atoms, lambda: cycles_from_model(atoms, model), root)
    counts = [usual["minao"], mine["model"], usual["fit"]]
    return {"cycles": np.transpose(counts).tolist(), "refused": mine["refused"]}


def cycles_without_model(atoms: Atoms, basis: Basis) -> dict[str, Any]:
    """Cycles from PySCF's start, and from a fit of the density that it leads to."""
    mean_field = tight(atoms)
    minao = counted(mean_field, None)
    exact = density_from_mean_field(mean_field, basis)
    return {"minao": minao, "fit": counted(mean_field, initial_guess(mean_field, exact))}


def cycles_from_model(atoms: Atoms, model: RhoCalculator) -> dict[str, Any]:
    """Cycles from the density of a model, and whether PySCF's start was taken instead."""
    mean_field = tight(atoms)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always", GuessWarning)
        start = initial_guess(mean_field, model)
    refused = any(issubclass(w.category, GuessWarning) for w in noted)
    return {"model": counted(mean_field, start), "refused": refused}


def tight(atoms: Atoms) -> Any:
    """A Kohn-Sham object that converges to the tightest of the thresholds."""
    return kohn_sham(atoms, KohnSham(LEVEL.xc, LEVEL.orbital_basis, conv_tol=min(THRESHOLDS)))


def counted(mean_field: Any, start: np.ndarray | None) -> list[int]:
    """Cycles to each of the thresholds, from one run to the tightest, by PySCF's criteria."""
    reached: dict[float, int] = {}

    def watch(state: dict[str, Any]) -> None:
        change, gradient = abs(state["e_tot"] - state["last_hf_e"]), state["norm_gorb"]
        for threshold in THRESHOLDS:
            if change < threshold and gradient < threshold**0.5:
                reached.setdefault(threshold, state["cycle"] + 1)

    mean_field.callback = watch
    with numpy_products():
        mean_field.kernel(start)
    return [reached[threshold] for threshold in THRESHOLDS]


def cycles(arguments: argparse.Namespace) -> None:
    """Cycles of held-out clusters, means, and what the model saves of what the fit saves."""
    model = RhoCalculator("water-pbe", device="cpu")
    found = []
    print(f"{'':10} cycles from minao, model, fit to 1e-9 and to 1e-6 Hartree")
    for atoms in chosen(parts_of_the_recipe()["test"], arguments.sizes, arguments.each):
        one = cycles_of(atoms, model)
        found.append(one["cycles"])
        print(f"{atoms.get_chemical_formula():10} {one}", flush=True)
    for tolerance, (usual, mine, fit) in zip(THRESHOLDS, np.mean(found, axis=0), strict=True):
        print(
            f"to {tolerance:g}: {usual:.1f}, {mine:.1f}, {fit:.1f}; with one more cycle for the "
            f"start the model saves {100 * (usual - mine - 1) / (usual - fit - 1):.0f} % of what "
            "the fit saves"
        )


def times(arguments: argparse.Namespace) -> None:
    """CPU time of a larger cluster, two of the file side by side: 7 to 12 molecules."""
    largest = [a for a in read(RECIPE / "water-clusters.xyz", index=":") if len(a) == 18]
    for size in arguments.sizes:
        first, second = largest[0].copy(), largest[1][: 3 * (size - 6)]
        second.translate([9.0, 0.0, 0.0])
        atoms = first + second
        usual = kept("scf-time", atoms, lambda a=atoms: self_consistent(a))
        mine = kept("harris-time", atoms, lambda a=atoms: harris(a))
        total = usual["scf"] + usual["gradient"]
        print(
            f"{len(atoms)} atoms: SCF {usual['scf']:.0f} s ({usual['cycles']} cycles), with "
            f"gradient {total:.0f} s; one shot {mine['one shot']:.0f} s, with forces "
            f"{mine['one shot'] + mine['gradient']:.0f} s: {mine['one shot'] / total:.2f} and "
            f"{(mine['one shot'] + mine['gradient']) / total:.2f} of SCF with gradient",
            flush=True,
        )


class SelfConsistent(Calculator):
    """PySCF's energies and forces, as a calculator of ASE."""

    implemented_properties = ("energy", "forces")

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: Any = ("energy",),
        system_changes: Any = all_changes,
    ) -> None:
        """ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        found = self_consistent(self.atoms)
        self.results = {"energy": found["energy"], "forces": np.array(found["forces"])}


def relaxed(atoms: Atoms, calculator: Calculator) -> dict[str, Any]:
    """A minimum, in few steps."""
    moved = atoms.copy()
    moved.calc = calculator
    optimizer = BFGS(moved, logfile=None)
    optimizer.run(fmax=0.01, steps=100)
    return {"positions": moved.positions.tolist(), "steps": optimizer.nsteps}


def dimer(arguments: argparse.Namespace) -> None:
    """Distances in the relaxed water dimer."""
    atoms = Atoms(  # near the minimum, as in the S22 set
        "OHHOHH",
        [
            [-1.551, -0.1145, 0.0],
            [-1.9343, 0.7625, 0.0],
            [-0.5997, 0.0407, 0.0],
            [1.3506, 0.1115, 0.0],
            [1.6804, -0.3737, -0.7586],
            [1.6804, -0.3737, 0.7586],
        ],
    )
    usual = kept("dimer-scf", atoms, lambda: relaxed(atoms, SelfConsistent()))
    mine = kept(
        "dimer-harris",
        atoms,
        lambda: relaxed(atoms, RhoCalculator("water-pbe", device="cpu", energy="harris")),
    )
    both = [Atoms(atoms.numbers, found["positions"]) for found in (usual, mine)]
    distances = np.array([a.get_all_distances() for a in both])
    difference = np.abs(distances[1] - distances[0]).max()
    print(
        f"O-O distance {distances[0, 0, 3]:.4f} and {distances[1, 0, 3]:.4f} A after "
        f"{usual['steps']} and {mine['steps']} steps; all distances agree to {difference:.4f} A"
    )


def nve(arguments: argparse.Namespace) -> None:
    """Drift of the total energy of one or more molecules at constant energy."""
    [atoms] = chosen(parts_of_the_recipe()["test"], arguments.sizes[:1], 1)
    options = {"basis": arguments.basis, "grid_level": arguments.level}
    atoms.calc = RhoCalculator("water-pbe", device="cpu", energy="harris", energy_options=options)
    MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(0))
    Stationary(atoms)
    energies: list[float] = []
    dynamics = VelocityVerlet(atoms, timestep=0.5 * units.fs)
    dynamics.attach(lambda: energies.append(atoms.get_total_energy()))
    start = time.process_time()
    dynamics.run(arguments.steps)
    seconds = time.process_time() - start
    picoseconds = 0.5e-3 * np.arange(len(energies))
    drift = 1000 * np.polyfit(picoseconds, energies, 1)[0] / len(atoms)
    spread = 1000 * np.std(energies) / len(atoms)
    print(
        f"{atoms.get_chemical_formula()}, {arguments.steps} steps of 0.5 fs in "
        f"{seconds / arguments.steps:.2f} s each: drift {drift:.3f} meV/atom/ps, fluctuation "
        f"{spread:.3f} meV/atom"
    )


PARTS = {"clusters": clusters, "cycles": cycles, "time": times, "dimer": dimer, "nve": nve}
SIZES = {"clusters": [1, 2, 3, 4, 5, 6], "cycles": [1, 2, 3, 4, 5, 6], "time": [8], "nve": [1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART")
    parser.add_argument("--sizes", type=int, nargs="+", help="molecules of the clusters")
    parser.add_argument("--each", type=int, default=2, help="clusters of each size")
    parser.add_argument("--steps", type=int, default=1000, help="of nve")
    parser.add_argument("--basis", default="def2-svp", help="orbitals of nve")
    parser.add_argument("--level", type=int, default=2, help="quadrature of nve")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - set(PARTS)
    if unknown:
        parser.error(f"PART is {sorted(unknown)}: give any of {', '.join(PARTS)}")
    given = arguments.sizes
    for part in arguments.parts:
        arguments.sizes = given or SIZES.get(part, [])
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
