"""Dynamics at constant energy on a model of the density alone.

Forces are the exact gradient of the Harris energy of predicted densities, so that the total energy
stays where it is. 2 ps of a water molecule take a quarter of an hour of one core; a second run goes
on where the first one was stopped. Files go to ``harris-output``. Run

    python examples/harris_dynamics.py
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import molecule
from ase.io import Trajectory, read
from ase.md.velocitydistribution import Stationary, thermalize_momenta
from ase.md.verlet import VelocityVerlet
from matplotlib.figure import Figure

from ase_rholearn import RhoCalculator

OUTPUT = Path("harris-output")


def first_frame(temperature: float) -> Atoms:
    """A water molecule with thermal velocities."""
    atoms = molecule("H2O")
    thermalize_momenta(atoms, temperature_K=temperature, rng=np.random.default_rng(0))
    Stationary(atoms)
    return atoms


def draw(times: np.ndarray, total: np.ndarray, potential: np.ndarray, path: Path) -> float:
    """Total and potential energy by time; the drift of the first in meV/atom/ps."""
    slope, constant = np.polyfit(times, total, 1)
    figure = Figure(figsize=(6.5, 4.5), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    above.plot(times, potential - potential.min(), lw=0.6)
    above.set_ylabel("potential energy\n/ meV/atom")
    below.plot(times, total - constant, lw=0.6)
    below.plot(times, slope * times, "k--", label=f"drift {slope:.3f} meV/atom/ps")
    below.set_ylabel("total energy / meV/atom")
    below.set_xlabel("time / ps")
    below.legend(frameon=False, loc="upper right")
    figure.savefig(path, dpi=150)
    return float(slope)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--picoseconds", type=float, default=2.0)
    parser.add_argument("--timestep", type=float, default=0.5, help="fs")
    parser.add_argument("--temperature", type=float, default=300.0, help="of the start, K")
    parser.add_argument("--basis", default="def2-svp", help="of the orbitals")
    parser.add_argument("--level", type=int, default=1, help="PySCF's quadrature grid")
    arguments = parser.parse_args()
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / "dynamics.traj"
    frames = read(path, index=":") if path.exists() else []
    atoms = frames[-1].copy() if frames else first_frame(arguments.temperature)
    atoms.calc = RhoCalculator(
        "water-pbe",
        device="cpu",
        energy="harris",
        energy_options={"basis": arguments.basis, "grid_level": arguments.level},
    )
    dynamics = VelocityVerlet(atoms, timestep=arguments.timestep * units.fs)
    left = round(1000 * arguments.picoseconds / arguments.timestep) + 1 - len(frames)
    with Trajectory(path, "a", atoms, properties=["energy", "forces"]) as trajectory:
        for k in range(left):
            if frames or k:
                dynamics.run(1)
            else:
                atoms.get_forces()
            trajectory.write()
    frames = read(path, index=":")
    times = 1e-3 * arguments.timestep * np.arange(len(frames))
    total, potential = (
        1000 * np.array([energy(a) for a in frames]) / len(atoms)
        for energy in (Atoms.get_total_energy, Atoms.get_potential_energy)
    )
    drift = draw(times, total, potential, OUTPUT / "dynamics.png")
    print(
        f"{times[-1]:.2f} ps: drift {drift:.4f} meV/atom/ps, fluctuation {total.std():.4f} "
        f"meV/atom; potential energy between 0 and {np.ptp(potential):.1f} meV/atom"
    )


if __name__ == "__main__":
    main()
