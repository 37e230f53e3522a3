"""What the shipped water model does, in a minute: densities, cubes, a picture, errors.

A hexamer that the model has never seen is compared with a stored PySCF calculation, and a
periodic box of 64 molecules is predicted. Files go to ``demo-output``. Run

    make demo        or        python examples/demo.py
"""

import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import read
from matplotlib.figure import Figure

from ase_rholearn import Density, RhoCalculator
from ase_rholearn.density import nmae
from ase_rholearn.references import Reference
from ase_rholearn.references.pyscf import orbital_density

HERE = Path(__file__).parent
OUTPUT = Path("demo-output")


def hexamer(calculator: RhoCalculator) -> tuple[Density, Density]:
    """Predict the hexamer, compare it with PySCF; the prediction and PySCF's fitted density."""
    reference = Reference.load(HERE / "water-hexamer.npz")
    atoms = reference.atoms.copy()
    atoms.calc = calculator
    rho = calculator.get_density(atoms)
    fitted = Density(atoms, rho.basis, reference.coefficients)
    dipole = atoms.get_dipole_moment()
    error = np.linalg.norm(dipole - reference.dipole) / units.Debye
    print(f"water hexamer   {atoms.get_chemical_formula()}")
    print(f"  electrons                        {rho.number_of_electrons:.8f}")
    print(f"  dipole                           {np.round(dipole, 4)} e Angstrom")
    print(f"  dipole, PySCF                    {np.round(reference.dipole, 4)} e Angstrom")
    print(f"  dipole error per molecule        {error / 6:.4f} D")
    scf = orbital_density(reference)
    print(f"  error against PySCF's density    {nmae(rho, scf, level=2):.3f} %")
    print(f"  error against its fit            {nmae(rho, fitted, level=2):.3f} %")
    print(f"  error of the fit itself          {nmae(fitted, scf, level=2):.3f} %")
    rho.write(OUTPUT / "hexamer.cube", spacing=0.15)
    return rho, fitted


def box(calculator: RhoCalculator) -> Density:
    """Predict a periodic box of 64 molecules."""
    atoms: Atoms = read(HERE / "water-box.xyz")
    calculator.get_density(atoms)  # the first call prepares what later ones reuse
    atoms.rattle(1e-3, seed=0)
    start = time.perf_counter()
    rho = calculator.get_density(atoms)
    predicted = time.perf_counter()
    grid = rho.on_grid(spacing=0.15)
    evaluated = time.perf_counter()
    print(f"periodic box    {atoms.get_chemical_formula()}")
    print(f"  electrons                        {rho.number_of_electrons:.8f}")
    print(f"  prediction                       {1e3 * (predicted - start):.0f} ms")
    print(f"  {grid.values.size:,} grid points              {evaluated - predicted:.2f} s")
    rho.write(OUTPUT / "box.cube", spacing=0.15)
    return rho


def picture(rho: Density, fitted: Density, liquid: Density) -> None:
    """Density, what bonding changes, the error, and the box."""
    figure = Figure(figsize=(13, 10), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    oxygens = np.flatnonzero(rho.atoms.numbers == 8)
    near = closest(rho.atoms, oxygens)
    rho.plot(plane=near, margin=4.0, ax=axes[0], title="predicted density of a hexamer")
    deformation = rho - rho.free_atoms()
    deformation.plot(
        plane=near, margin=4.0, limit=0.3, ax=axes[1], title="minus free atoms: what bonding does"
    )
    (rho - fitted).plot(
        plane=near, margin=4.0, limit=0.003, ax=axes[2], title="minus PySCF: error, scale 1/100"
    )
    layer = np.flatnonzero(liquid.atoms.numbers == 8)[::4].tolist()
    liquid.plot(
        plane=layer, normal=[0, 0, 1], ax=axes[3], title="predicted density of a periodic box"
    )
    figure.savefig(OUTPUT / "demo.png", dpi=110)


def closest(atoms: Atoms, oxygens: np.ndarray) -> list[int]:
    """Three oxygen atoms that are close together."""
    distances = atoms.get_all_distances()[np.ix_(oxygens, oxygens)]
    middle = np.argmin(np.sort(distances, axis=1)[:, :3].sum(axis=1))
    return oxygens[np.argsort(distances[middle])[:3]].tolist()


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    calculator = RhoCalculator("water-pbe")
    rho, fitted = hexamer(calculator)
    liquid = box(calculator)
    picture(rho, fitted, liquid)
    print(f"files           {', '.join(sorted(str(p) for p in OUTPUT.iterdir()))}")


if __name__ == "__main__":
    main()
