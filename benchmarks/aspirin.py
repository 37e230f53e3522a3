"""From a structure to a cube of aspirin in one call, against PySCF's evaluation of a cube.

The whole path (neighbour list, network, number of electrons, grid) of a model of the shipped
architecture for H, C and O, in the basis of the recipe; its weights are random, scaled so that
the coefficients have the size of real ones. PySCF evaluates def2-universal-jkfit at the same
points in blocks (``eval_gto``) and multiplies by coefficients. One thread, calls interleaved in
one process after a warm-up, the minimum CPU time counts. The molecule moves between the calls,
so that nothing is cached. SCDP (X. Fu et al., NeurIPS 2024) reports three times the time of such
an evaluation for its fastest configuration. Run

    python benchmarks/aspirin.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms, units
from pyscf import lib

from ase_rholearn import RhoCalculator
from ase_rholearn.basis import Basis, even_tempered, from_pyscf, to_pyscf_order
from ase_rholearn.density import Grid, grid_frame
from ase_rholearn.model import (
    ModelCard,
    NeighborDensity,
    NetworkOptions,
    build_network,
    export_model,
    load_model,
)
from ase_rholearn.references.pyscf import atomic_densities
from ase_rholearn.references.pyscf.integrals import auxiliary_molecule

#: 2-acetoxybenzoic acid, MMFF94 geometry, Angstrom.
ASPIRIN = Atoms(
    "CCOOCCCCCCCOOHHHHHHHH",
    [
        [3.0775, 1.1828, -1.0122],
        [2.0315, 0.4613, -0.2162],
        [2.1033, 0.2459, 0.9869],
        [1.0070, 0.0691, -1.0707],
        [-0.0568, -0.5332, -0.3926],
        [-0.1034, -1.9310, -0.4097],
        [-1.1532, -2.5938, 0.2229],
        [-2.1565, -1.8626, 0.8581],
        [-2.1169, -0.4643, 0.8569],
        [-1.0672, 0.2193, 0.2235],
        [-1.0341, 1.7053, 0.1933],
        [-0.2294, 2.4107, -0.3867],
        [-2.0363, 2.2586, 0.9034],
        [2.6318, 2.0426, -1.5187],
        [3.5280, 0.4996, -1.7363],
        [3.8583, 1.5462, -0.3379],
        [0.6782, -2.4997, -0.9056],
        [-1.1890, -3.6806, 0.2230],
        [-2.9744, -2.3803, 1.3542],
        [-2.9159, 0.0821, 1.3531],
        [-1.8828, 3.2222, 0.8111],
    ],
)

#: That of models/water-pbe/train.yaml.
ARCHITECTURE = NetworkOptions(
    density=NeighborDensity(cutoff=5.5, max_angular=4, max_radial=8, width=0.3),
    tensors=24,
    invariants=32,
    gates=32,
    linear=True,
)

#: Points that PySCF gets at once; more or fewer take longer.
BLOCK = 1000

#: Root mean square of the coefficients of deformation densities, e/bohr^1.5.
SIZE = 0.1


def recipe_basis(beta: float) -> Basis:
    basis = even_tempered(["H", "C", "O"], beta=beta)
    return basis.with_atomic_densities(
        atomic_densities(basis.species, xc="PBE", orbital_basis="def2-tzvp")
    )


def random_model(basis: Basis, path: Path) -> None:
    """Write a model with random weights whose coefficients have a usual size."""
    network = build_network(ARCHITECTURE, basis)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
            parameter.copy_(0.01 * noise)
    for dtype in ("float64", "float32"):
        export_model(network, basis, ModelCard("aspirin"), path, dtype=dtype)
        if dtype == "float64":
            rescale(network, load_model(path, "cpu").coefficients([ASPIRIN])[0])


def rescale(network: torch.nn.Module, coefficients: np.ndarray) -> None:
    """Scale the last matrices of a network, so that its coefficients have a usual size."""
    factor = SIZE / np.sqrt(np.mean(coefficients**2))
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith("transform"):
                buffer *= factor


def cpu(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.process_time()
    result = function()
    return time.process_time() - start, result


def by_pyscf(atoms: Atoms, basis: Basis, points: np.ndarray) -> np.ndarray:
    """Some density of the basis at points in Angstrom, in e/bohr^3."""
    molecule = auxiliary_molecule(atoms, basis)
    coefficients = np.random.default_rng(0).normal(0, SIZE, basis.size(atoms.numbers))
    coefficients = to_pyscf_order(basis, atoms.numbers, coefficients)
    return np.concatenate(
        [
            molecule.eval_gto("GTOval_sph", points[start : start + BLOCK] / units.Bohr)
            @ coefficients
            for start in range(0, len(points), BLOCK)
        ]
    )


def moved(step: int) -> Atoms:
    """Another geometry every time: nothing is cached."""
    atoms = ASPIRIN.copy()
    atoms.positions += np.random.default_rng(step).normal(0, 0.005, atoms.positions.shape)
    return atoms


def whole_path(calculator: RhoCalculator, atoms: Atoms, **options: Any) -> Grid:
    return calculator.get_density(atoms).on_grid(**options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--beta", type=float, default=1.8, help="ratio of exponents of the basis")
    parser.add_argument("--spacing", type=float, default=0.25, help="Angstrom")
    parser.add_argument("--margin", type=float, default=4.0, help="Angstrom")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    lib.num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        random_model(recipe_basis(arguments.beta), Path(folder) / "model.pt")
        calculator = RhoCalculator(Path(folder) / "model.pt", device="cpu")
    options = {"spacing": arguments.spacing, "margin": arguments.margin}
    compare(calculator, options, arguments.repeats)


def compare(calculator: RhoCalculator, options: dict[str, float], repeats: int) -> None:
    """Times of the stages, and their ratios to PySCF's time."""
    jkfit = from_pyscf("def2-universal-jkfit", ["H", "C", "O"])
    frame = grid_frame(ASPIRIN, **options)
    points = frame.points().reshape(-1, 3)
    best: dict[str, float] = {}
    for step in range(repeats + 1):
        atoms = moved(step)
        stages = {
            "PySCF, def2-universal-jkfit": lambda: by_pyscf(ASPIRIN, jkfit, points),
            "whole path": lambda a=atoms: whole_path(calculator, a, **options),
            "whole path, tolerance 1e-6": lambda s=step: whole_path(
                calculator, moved(1000 + s), tolerance=1e-6, **options
            ),
            "  coefficients": lambda a=atoms: calculator.model.coefficients([a]),
            "  grid": lambda a=atoms: calculator.get_density().on_grid(**options),
            "  grid, tolerance 1e-6": lambda: calculator.get_density().on_grid(
                tolerance=1e-6, **options
            ),
        }
        calculator.atoms = atoms
        for name, stage in stages.items():
            seconds, _ = cpu(stage)
            if step:  # the first round warms up
                best[name] = min(best.get(name, np.inf), seconds)
    functions = calculator.model.basis.size(ASPIRIN.numbers)
    print(
        f"aspirin, {' x '.join(map(str, frame.shape))} points; {functions} functions here, "
        f"{jkfit.size(ASPIRIN.numbers)} of jkfit"
    )
    peer = best["PySCF, def2-universal-jkfit"]
    for name, seconds in best.items():
        print(f"{name:30} {1e3 * seconds:8.1f} ms  ratio {peer / seconds:6.1f}")


if __name__ == "__main__":
    main()
