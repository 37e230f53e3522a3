"""The whole way from SMILES and structures to sampled structures."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module

import numpy as np
from ase import Atoms

from ...extras import needs
from ...references.reference import reference_id
from ...structures import check_atoms
from .checks import check_count
from .conformers import Conformers, Smiles, conformers, parse_smiles
from .dynamics import Dynamics, trajectory
from .failure import SamplingError
from .rattle import Rattle, rattle
from .xtb import XTB, relax

#: Numbers of the random steps, part of their seeds.
_CONFORMERS, _DYNAMICS, _RATTLE = range(3)


@dataclass(frozen=True)
class SamplingPlan:
    """The steps, in this order; what is None is left out.

    Attributes
    ----------
    conformers
        From each SMILES; structures have no need of it.
    relax
        Relaxation with xTB.
    dynamics
        Molecular dynamics with xTB: its frames replace the structure.
    rattle
        Random displacements: copies replace the structure.
    """

    conformers: Conformers = field(default_factory=Conformers)
    relax: XTB | None = None
    dynamics: Dynamics | None = None
    rattle: Rattle | None = None


@dataclass(frozen=True)
class Sampled:
    """A structure.

    Attributes
    ----------
    name
        What it was made from.
    atoms
        The structure; its ``info`` says which step was the last (``source``).
    """

    name: str
    atoms: Atoms


@dataclass(frozen=True)
class Failed:
    """What gave no structure, or fewer than asked.

    Attributes
    ----------
    name
        The input, and the conformer or frame of it.
    reason
        Why, with the step that failed.
    """

    name: str
    reason: str


def sample(
    structures: Sequence[Atoms] = (),
    smiles: Sequence[str | Smiles] = (),
    plan: SamplingPlan | None = None,
    seed: int = 0,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[Sampled | Failed]:
    """Sample every input as planned, one after the other.

    What comes of an input depends on it, the plan and the seed: not on other inputs, their
    order, or how a SMILES is written. One that is there twice is sampled once. One that fails
    is reported, and the others go on.

    Parameters
    ----------
    structures
        Structures to start from.
    smiles
        Molecules to start from.
    plan
        The steps; left out: conformers alone.
    seed
        Of all that is drawn.
    on_progress
        Called with the inputs done and their total, first with none.

    Raises
    ------
    ValueError
        There is no input, or ``seed`` is no seed.
    ImportError
        A package that the plan needs is not installed; raised by the call itself.
    """
    plan = plan or SamplingPlan()
    check_count("seed", seed, least=0)
    if isinstance(smiles, str):
        raise TypeError(f"smiles is {smiles!r}: give a list")
    if not structures and not smiles:
        raise ValueError("structures and smiles are empty: give at least one of them")
    _check_packages(plan, bool(smiles))
    return _sample(list(structures), list(smiles), plan, seed, on_progress or (lambda *_: None))


def sample_smiles(
    smiles: str | Smiles, plan: SamplingPlan, seed: int
) -> Iterator[Sampled | Failed]:
    """What :func:`sample` makes of one molecule."""
    smiles = _named(smiles)
    name = smiles.name or smiles.smiles
    try:
        canonical = parse_smiles(smiles.smiles)
        entropy = _entropy(canonical, seed)
        found = conformers(canonical, plan.conformers, _seed(entropy, _CONFORMERS))
    except (ValueError, SamplingError) as error:
        yield Failed(name, f"conformers: {error}")
        return
    for index, atoms in enumerate(found):
        if smiles.name:
            atoms.info["name"] = smiles.name
        label = f"{name}, conformer {index}" if len(found) > 1 else name
        yield from _from_structure(label, atoms, plan, entropy, index)


def sample_structure(
    atoms: Atoms, plan: SamplingPlan, seed: int, *, name: str | None = None
) -> Iterator[Sampled | Failed]:
    """What :func:`sample` makes of one structure.

    Parameters
    ----------
    atoms
        The structure.
    plan, seed
        As in :func:`sample`.
    name
        Name in what is returned; left out: ``info["name"]``, or the formula.
    """
    name = name or _name_of(atoms)
    try:
        entropy = _entropy(_key(atoms), seed)
    except (TypeError, ValueError) as error:
        yield Failed(name, f"structure: {error}")
        return
    yield from _from_structure(name, atoms, plan, entropy, 0)


def _sample(
    structures: list[Atoms],
    smiles: list[str | Smiles],
    plan: SamplingPlan,
    seed: int,
    report: Callable[[int, int], None],
) -> Iterator[Sampled | Failed]:
    total = len(structures) + len(smiles)
    report(0, total)
    seen: set[str] = set()
    for index, atoms in enumerate(structures):
        if _first(_key, atoms, seen):
            name = f"structure {index} ({_name_of(atoms)})"
            yield from sample_structure(atoms, plan, seed, name=name)
        report(index + 1, total)
    for index, molecule in enumerate(smiles):
        if _first(parse_smiles, _named(molecule).smiles, seen):
            yield from sample_smiles(molecule, plan, seed)
        report(len(structures) + index + 1, total)


def _from_structure(
    name: str, atoms: Atoms, plan: SamplingPlan, entropy: tuple[int, int], index: int
) -> Iterator[Sampled | Failed]:
    """Relaxation, dynamics and rattling of one structure, conformer ``index`` of its input."""
    start = atoms.copy()
    if plan.relax:
        try:
            start = relax(start, plan.relax)
        except (ValueError, SamplingError) as error:
            yield Failed(name, f"relax: {error}")
            return
    if plan.dynamics is None:
        yield from _rattled(name, start, plan, _seed(entropy, _RATTLE, index, 0))
        return
    frames = trajectory(start, plan.dynamics, _seed(entropy, _DYNAMICS, index))
    count = 0
    try:
        for count, frame in enumerate(frames, 1):
            label, frame_seed = f"{name}, frame {count - 1}", _seed(entropy, _RATTLE, index, count)
            yield from _rattled(label, frame, plan, frame_seed)
    except (ValueError, SamplingError) as error:
        wanted = plan.dynamics.frames
        yield Failed(name, f"dynamics, after {count} of {wanted} frames: {error}")


def _rattled(
    name: str, atoms: Atoms, plan: SamplingPlan, seed: np.random.SeedSequence
) -> Iterator[Sampled | Failed]:
    if plan.rattle is None:
        yield Sampled(name, atoms)
        return
    try:
        copies = rattle(atoms, plan.rattle, seed)
    except (ValueError, SamplingError) as error:
        yield Failed(name, f"rattle: {error}")
        return
    for copy in copies:
        yield Sampled(name, copy)


def _check_packages(plan: SamplingPlan, smiles: bool) -> None:
    packages = ["rdkit"] if smiles else []
    if plan.relax or plan.dynamics:
        packages += ["tblite", "threadpoolctl"]
    for package in packages:
        with needs(package, "sampling"):
            import_module(package)


def _named(smiles: str | Smiles) -> Smiles:
    return smiles if isinstance(smiles, Smiles) else Smiles(smiles)


def _name_of(atoms: Atoms) -> str:
    return str(atoms.info.get("name") or atoms.get_chemical_formula())


def _key(atoms: Atoms) -> str:
    """Digits that stand for the structure; checks it first."""
    return reference_id(check_atoms(atoms), {})


def _first(key: Callable[..., str], thing: object, seen: set[str]) -> bool:
    """Whether this input is the first of its kind; bad ones are, and are reported later."""
    try:
        found = key(thing)
    except (TypeError, ValueError):
        return True
    if found in seen:
        return False
    seen.add(found)
    return True


def _entropy(key: str, seed: int) -> tuple[int, int]:
    return seed, int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")


def _seed(entropy: Iterable[int], *place: int) -> np.random.SeedSequence:
    """The seed of one step of one input."""
    return np.random.SeedSequence(tuple(entropy), spawn_key=place)
