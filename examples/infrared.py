"""Infrared spectrum of a water cluster: dynamics with a force field, dipoles of the model.

A flexible force field moves a hexamer; the calculator's observer writes the dipole moment of
the predicted density every 4 fs into a file, from which the spectrum follows. Takes some
minutes; files go to ``infrared-output``. Run

    python examples/infrared.py
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import Calculator, all_changes
from ase.io import iread
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import Stationary, ZeroRotation
from ase.md.verlet import VelocityVerlet
from matplotlib.figure import Figure
from scipy.integrate import trapezoid

from ase_rholearn import OutsideTrainingWarning, RhoCalculator
from ase_rholearn.references import Reference
from ase_rholearn.trajectory import InfraredSpectrum, infrared_spectrum

HERE = Path(__file__).parent
OUTPUT = Path("infrared-output")

TEMPERATURE, STEP, EVERY = 200.0, 0.5 * units.fs, 8

KCAL = units.kcal / units.mol


class FlexibleSPC(Calculator):
    """The force field SPC/Fw for clusters; atoms in the order O H H.

    Y. Wu, H. L. Tepper and G. A. Voth, J. Chem. Phys. 124, 024503 (2006).
    """

    implemented_properties = ("energy", "forces")

    bond, bond_length = 1059.162 * KCAL, 1.012
    bend, angle = 75.90 * KCAL, np.deg2rad(113.24)
    epsilon, sigma, charge = 0.1554253 * KCAL, 3.165492, 0.41

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        """Energy and forces; ASE calls this."""
        super().calculate(atoms, properties, system_changes)
        molecules = self.atoms.positions.reshape(-1, 3, 3)
        inside, forces = self._inside(molecules)
        between, others = self._between(self.atoms.positions)
        self.results = {"energy": inside + between, "forces": forces.reshape(-1, 3) + others}

    def _inside(self, molecules: np.ndarray) -> tuple[float, np.ndarray]:
        """Bonds and angles: energy, forces (nmolecules, 3, 3)."""
        bonds = molecules[:, 1:] - molecules[:, :1]
        lengths = np.linalg.norm(bonds, axis=2)
        unit = bonds / lengths[:, :, None]
        stretch = lengths - self.bond_length
        cosine = np.clip((unit[:, 0] * unit[:, 1]).sum(axis=1), -1, 1)
        bent = np.arccos(cosine) - self.angle
        # d(angle)/d(end of bond) = (cosine * own direction - the other one) / (length * sine)
        across = (cosine[:, None, None] * unit - unit[:, ::-1]) / lengths[:, :, None]
        across /= np.sqrt(1 - cosine**2)[:, None, None]
        ends = self.bond * stretch[:, :, None] * unit + self.bend * bent[:, None, None] * across
        energy = 0.5 * self.bond * (stretch**2).sum() + 0.5 * self.bend * (bent**2).sum()
        return energy, np.concatenate([ends.sum(axis=1, keepdims=True), -ends], axis=1)

    def _between(self, positions: np.ndarray) -> tuple[float, np.ndarray]:
        """Charges and dispersion between molecules: energy, forces (natoms, 3)."""
        i, j = np.triu_indices(len(positions), 1)
        i, j = np.array([i, j])[:, i // 3 != j // 3]
        vectors = positions[i] - positions[j]
        r = np.linalg.norm(vectors, axis=1)
        q = self.charge * np.where(np.arange(len(positions)) % 3, 1.0, -2.0)
        coulomb = units.Hartree * units.Bohr * q[i] * q[j] / r
        oxygens = (i % 3 == 0) & (j % 3 == 0)
        ratio = np.where(oxygens, (self.sigma / r) ** 6, 0.0)
        slopes = (coulomb + 24 * self.epsilon * (2 * ratio**2 - ratio)) / r**2
        forces = np.zeros_like(positions)
        np.add.at(forces, i, slopes[:, None] * vectors)
        np.add.at(forces, j, -slopes[:, None] * vectors)
        return float(coulomb.sum() + 4 * self.epsilon * (ratio**2 - ratio).sum()), forces


def equilibrated() -> Atoms:
    """A hexamer in its thermal motion, without rotation as a whole."""
    atoms = Reference.load(HERE / "water-hexamer.npz").atoms.copy()
    atoms.calc = FlexibleSPC()
    options = {"temperature_K": TEMPERATURE, "friction": 0.02 / units.fs, "fixcm": False}
    Langevin(atoms, STEP, rng=np.random.default_rng(0), **options).run(2000)
    Stationary(atoms)
    ZeroRotation(atoms)
    return atoms


def run(atoms: Atoms, picoseconds: float, path: Path) -> None:
    """Dynamics at constant energy, with the dipole moment of the density every 4 fs."""
    # bonds of this force field are at times longer than any that the model was trained on
    warnings.simplefilter("ignore", OutsideTrainingWarning)
    calculator = RhoCalculator("water-pbe", base=atoms.calc)
    atoms.calc = calculator
    dynamics = VelocityVerlet(atoms, STEP)
    with calculator.observer(atoms, path) as observer:
        dynamics.attach(observer, interval=EVERY)
        dynamics.run(round(1000 * picoseconds * units.fs / STEP))


def plot(spectrum: InfraredSpectrum, path: Path) -> None:
    """Bands of bends and stretches, and of molecules that move against each other."""
    figure = Figure(figsize=(7, 3.6), layout="constrained")
    ax = figure.subplots()
    ax.fill_between(spectrum.wavenumbers, spectrum.absorption, color="tab:blue", alpha=0.25)
    ax.plot(spectrum.wavenumbers, spectrum.absorption, color="tab:blue", lw=1)
    top = spectrum.absorption[spectrum.wavenumbers < 4200].max()
    for place, name in ((600, "librations"), (1500, "bend"), (3550, "stretch")):
        near = abs(spectrum.wavenumbers - place) < 400
        ax.text(place, spectrum.absorption[near].max() + 0.03 * top, name, ha="center")
    ax.set(xlim=(0, 4200), ylim=(0, 1.15 * top), xlabel="wavenumber / cm$^{-1}$")
    ax.set(ylabel="absorption / km mol$^{-1}$ cm", title="(H$_2$O)$_6$, SPC/Fw, 200 K")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picoseconds", type=float, default=4.0)
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / "dynamics.extxyz"
    run(equilibrated(), arguments.picoseconds, path)
    dipoles = np.array([atoms.get_dipole_moment() for atoms in iread(path, ":")])
    spectrum = infrared_spectrum(dipoles, EVERY * STEP, temperature=TEMPERATURE, resolution=25.0)
    plot(spectrum, OUTPUT / "infrared.png")
    for name, low, high in (("bend", 1200, 2000), ("stretch", 3000, 4100)):
        band = (spectrum.wavenumbers > low) & (spectrum.wavenumbers < high)
        place = np.average(spectrum.wavenumbers[band], weights=spectrum.absorption[band])
        area = trapezoid(spectrum.absorption[band], spectrum.wavenumbers[band])
        print(f"{name:10} {place:8.0f} 1/cm {area / 6:8.0f} km/mol a molecule")


if __name__ == "__main__":
    main()
