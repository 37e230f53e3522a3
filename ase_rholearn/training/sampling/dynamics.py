"""Molecular dynamics with xTB."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin

from .bonds import BondGraph
from .checks import check_count, check_number
from .failure import SamplingError
from .methods import Method
from .xtb import bare_copy, calculator, check_method, running_xtb

#: Time steps between two looks at whether the structure still holds.
_CHECK_STEPS = 20

#: A structure hotter than this many times the target, and by this many Kelvin, has exploded;
#: fluctuations of a single atom stay below with a probability of 1 - 1e-6.
_TOO_HOT, _TOO_HOT_K = 10.0, 2000.0


@dataclass(frozen=True)
class Dynamics:
    """How molecular dynamics is run: Langevin, at constant temperature and cell.

    Attributes
    ----------
    method
        ``"GFN2-xTB"`` or ``"GFN1-xTB"``.
    temperature
        Kelvin.
    frames
        Structures to take.
    spacing_fs
        Time between two of them, fs; rounded to whole time steps.
    equilibration_fs
        Time before the first spacing, fs.
    timestep_fs
        Time step, fs.
    friction
        Of the thermostat, 1/fs.
    keep_bonds
        Stop where bonds change. Not for ionic crystals and metals, where distances do not tell
        bonds.
    """

    method: Method = "GFN2-xTB"
    temperature: float = 300.0
    frames: int = 10
    spacing_fs: float = 100.0
    equilibration_fs: float = 500.0
    timestep_fs: float = 0.5
    friction: float = 0.02
    keep_bonds: bool = True

    def __post_init__(self) -> None:
        check_method(self.method)
        check_number("temperature", self.temperature, "Kelvin", above=0, most=5000)
        check_count("frames", self.frames)
        # hydrogen vibrates with a period of 9 fs
        check_number("timestep_fs", self.timestep_fs, "fs", above=0, most=2)
        check_number("spacing_fs", self.spacing_fs, "fs", above=0)
        check_number("equilibration_fs", self.equilibration_fs, "fs", least=0)
        check_number("friction", self.friction, "1/fs", above=0, most=1)
        if self.spacing_fs < self.timestep_fs:
            raise ValueError(
                f"spacing_fs is {self.spacing_fs:g}: give at least timestep_fs "
                f"({self.timestep_fs:g} fs)"
            )


def dynamics(
    atoms: Atoms, plan: Dynamics | None = None, seed: int | np.random.SeedSequence = 0
) -> list[Atoms]:
    """All frames of :func:`trajectory`."""
    return list(trajectory(atoms, plan, seed))


def trajectory(
    atoms: Atoms, plan: Dynamics | None = None, seed: int | np.random.SeedSequence = 0
) -> Iterator[Atoms]:
    """Structures at equal distances in time.

    Their ``info`` has ``source`` (``"dynamics"``) and ``temperature`` (Kelvin). They carry no
    velocities, and atoms are not wrapped into the cell.

    Parameters
    ----------
    atoms
        A molecule, or a structure that is periodic in three directions; a closed shell, relaxed
        or nearly so.
    plan
        How; left out: the defaults.
    seed
        Of velocities and thermostat. Results repeat exactly with the same libraries on the same
        kind of processor; elsewhere rounding errors grow until trajectories differ.

    Raises
    ------
    SamplingError
        xTB cannot do the structure or fails, bonds change, or the structure explodes. Frames
        before that were good.
    ImportError
        tblite is not installed.
    """
    plan = plan or Dynamics()
    moving = bare_copy(atoms)
    moving.calc = calculator(atoms, plan.method)
    bonds = BondGraph(atoms) if plan.keep_bonds else None
    integrator = langevin(moving, plan, np.random.default_rng(seed))
    _advance(integrator, plan, plan.equilibration_fs, bonds)
    for _ in range(plan.frames):
        _advance(integrator, plan, plan.spacing_fs, bonds)
        frame = bare_copy(moving)
        frame.info |= {"source": "dynamics", "temperature": plan.temperature}
        yield frame


def langevin(atoms: Atoms, plan: Dynamics, random: np.random.Generator) -> Langevin:
    """The integrator; ``atoms``, which has a calculator, gets Maxwell-Boltzmann velocities."""
    widths = np.sqrt(units.kB * plan.temperature * atoms.get_masses())
    atoms.set_momenta(random.normal(size=(len(atoms), 3)) * widths[:, None])
    return Langevin(
        atoms,
        timestep=plan.timestep_fs * units.fs,
        temperature_K=plan.temperature,
        friction=plan.friction / units.fs,
        # a fixed centre of mass would change the distribution of small molecules
        fixcm=False,
        rng=random,
    )


def _advance(integrator: Langevin, plan: Dynamics, time_fs: float, bonds: BondGraph | None) -> None:
    left = round(time_fs / plan.timestep_fs)
    while left > 0:
        with running_xtb():
            integrator.run(min(left, _CHECK_STEPS))
        left -= _CHECK_STEPS
        _check(integrator, plan, bonds)


def _check(integrator: Langevin, plan: Dynamics, bonds: BondGraph | None) -> None:
    atoms = integrator.atoms
    when = f"after {integrator.nsteps * plan.timestep_fs:g} fs at {plan.temperature:g} K"
    remedy = f"lower the temperature or timestep_fs ({plan.timestep_fs:g})"
    temperature = float(atoms.get_temperature())
    limit = _TOO_HOT * plan.temperature + _TOO_HOT_K
    if not (np.isfinite(atoms.positions).all() and temperature < limit):
        raise SamplingError(f"the structure exploded {when} (it has {temperature:.0f} K): {remedy}")
    if bonds and (change := bonds.change(atoms)):
        raise SamplingError(f"{change} {when}: {remedy}")
