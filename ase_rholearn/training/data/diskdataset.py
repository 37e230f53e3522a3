"""metatrain's DiskDataset: densities as a target of other networks, and theirs for ours.

A zip with a folder for each structure, ``<i>/system.mta`` and ``<i>/<target>.mts``, as
metatrain 2026.4 reads and writes it. Coefficients have the keys (o3_lambda, o3_sigma,
atom_type).
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ase import Atoms
from metatensor.torch import Labels, TensorBlock, TensorMap, load_buffer
from metatomic.torch import System, load_system
from metatomic.torch import save as save_system

from ...basis import Basis, from_pyscf, from_tensormap, to_tensormap
from ...files import atomic_write
from ...model import load_model, shipped_models
from ...references import Reference
from ...structures import total_charge
from .dataset import DataSet, read_description
from .shard import from_record

#: The usual name of such a target in metatrain.
TARGET = "mtt::ri_coefficients"

_ATOM_COUNTS = "metadata/atom_counts.npy"

#: What reading a damaged or foreign zip may raise.
_DAMAGE = (
    KeyError,
    TypeError,
    ValueError,
    RuntimeError,
    OSError,
    EOFError,
    NotImplementedError,
    pickle.UnpicklingError,
    zipfile.BadZipFile,
)

_ZERO = torch.zeros((1, 1), dtype=torch.int32)

Report = Callable[[], None]


def export_zip(
    dataset: DataSet,
    path: str | os.PathLike[str],
    *,
    target: str = "",
    ids: Iterable[str] | None = None,
    on_progress: Report | None = None,
) -> int:
    """Write a DiskDataset with the coefficients as a target.

    Where all structures have them, it has the fields ``energy`` (with minus the forces as its
    gradient) and, where any has one, ``charge``. Other ``atoms.info`` is lost, and so are cell
    vectors of directions that are not periodic.

    Parameters
    ----------
    dataset
        What to write.
    path
        The zip.
    target
        Name of the coefficients; left out: ``mtt::ri_coefficients``.
    ids
        Leave out all other references.
    on_progress
        Called after each reference.

    Returns
    -------
    int
        How many references were written.
    """
    target, report = target or TARGET, on_progress or (lambda: None)
    selected = None if ids is None else dataset.select(ids)
    # all entries must have the same fields
    energies = forces = True
    charges, counts = False, {}
    for name, record in dataset.records(selected):
        energies &= not np.isnan(record["energy"])
        forces &= len(record["forces"]) > 0
        charges |= bool(json.loads(record["notes"].tobytes())["info"].get("charge"))
        counts[name] = len(record["numbers"])
    if not counts:
        raise ValueError(f"{dataset.folder} has no references to export")
    single = Labels(["_"], _ZERO)
    with atomic_write(path) as stream, zipfile.ZipFile(stream, "w") as archive:
        for index, (_, record) in enumerate(dataset.records(counts)):
            reference = from_record(record, dataset.settings)
            fields = {target: _coefficients(dataset.basis, reference, index)}
            if energies:
                fields["energy"] = TensorMap(single, [_energy(reference, index, forces)])
            if charges:
                block = _number(total_charge(reference.atoms), index, "charge")
                fields["charge"] = TensorMap(single, [block])
            with archive.open(f"{index}/system.mta", "w") as member:
                save_system(member, _system(reference.atoms))
            for name, tensor in fields.items():
                with archive.open(f"{index}/{name}.mts", "w") as member:
                    np.save(member, tensor.save_buffer().numpy())
            report()
        with archive.open(_ATOM_COUNTS, "w") as member:
            np.save(member, np.array(list(counts.values())))
    return len(counts)


def import_zip(
    path: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    basis: str | os.PathLike[str],
    *,
    target: str = "",
    on_progress: Report | None = None,
) -> int:
    """Bring the structures of a DiskDataset into a data set.

    A DiskDataset does not say how its densities were made, nor whether they converged: that is
    left to whoever imports it.

    Parameters
    ----------
    path
        A zip of metatrain, with a target whose irreps are given for each species.
    folder
        The data set; it may be there already.
    basis
        What the coefficients belong to: ``dataset.json`` of a data set (its settings are taken
        too), a file of :meth:`Basis.to_json`, a model (name or file), or a name of PySCF.
    target
        Name of the coefficients; left out: ``mtt::ri_coefficients``.
    on_progress
        Called after each structure.

    Returns
    -------
    int
        How many structures are new.

    Raises
    ------
    FileNotFoundError, ValueError
        Something is not there, is damaged, or does not fit the basis.
    """
    path, target, report = Path(path), target or TARGET, on_progress or (lambda: None)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}")
    try:
        archive = zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no DiskDataset ({error})") from error
    with archive:
        count = _count_entries(archive, path, target)
        species = _species_of(archive, count) if _is_name_of_pyscf(basis) else []
        found, settings = read_basis(basis, species)
        settings = settings or {"code": "DiskDataset", "target": target}
        _reference(archive, 0, target, found, settings)  # raises before a folder is made
        dataset = DataSet.create(folder, found, settings)
        return dataset.extend(_references(archive, count, target, dataset, report))


def read_basis(
    basis: str | os.PathLike[str], species: list[int]
) -> tuple[Basis, dict[str, Any] | None]:
    """A basis from a file or a name, and the settings if it comes from a data set.

    Parameters
    ----------
    basis
        As in :func:`import_zip`.
    species
        Atomic numbers that a basis of PySCF is made for.
    """
    path = Path(basis)
    if _is_name_of_pyscf(basis):
        if path.suffix in (".json", ".pt"):
            raise FileNotFoundError(f"basis: there is no file {path}")
        return from_pyscf(str(basis), species), None
    if path.is_dir() or path.name == "dataset.json":
        return read_description(path if path.is_dir() else path.parent)
    if path.suffix != ".json":
        return load_model(basis, "cpu").basis, None
    try:
        return Basis.from_json(path.read_text()), None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} holds no basis ({error})") from error


def target_options(
    dataset: DataSet, path: str | os.PathLike[str], target: str = ""
) -> dict[str, Any]:
    """What metatrain's options need under ``targets`` to learn from an exported file."""
    return {
        target or TARGET: {
            "read_from": os.fspath(path),
            "quantity": "",
            "unit": "",
            "sample_kind": "atom",
            "num_subtargets": 1,
            "type": {"spherical": {"irreps": irreps(dataset.basis)}},
        }
    }


def irreps(basis: Basis) -> dict[int, list[dict[str, int]]]:
    """The irreps of each atomic number, as the options of metatrain want them.

    >>> irreps(Basis.from_shells({"H": [(0, [1.0, 0.3]), (1, [0.8])]}))[1]
    [{'o3_lambda': 0, 'o3_sigma': 1, 'num': 2}, {'o3_lambda': 1, 'o3_sigma': 1, 'num': 1}]
    """
    return {
        z: [
            {"o3_lambda": l, "o3_sigma": 1, "num": len(basis.radial_functions(z, l))}
            for l in range(basis.l_max + 1)
            if basis.radial_functions(z, l)
        ]
        for z in basis.species
    }


def _system(atoms: Atoms) -> System:
    """In double precision and without neighbours; directions that are not periodic: no cell."""
    return System(
        types=torch.from_numpy(atoms.numbers.astype(np.int32)),
        positions=torch.from_numpy(atoms.positions.copy()),
        cell=torch.from_numpy(np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)),
        pbc=torch.from_numpy(atoms.pbc.copy()),
    )


def _coefficients(basis: Basis, reference: Reference, index: int) -> TensorMap:
    tensor = to_tensormap(basis, [reference.atoms.numbers], [reference.coefficients])
    keys = Labels(["o3_lambda", "o3_sigma", "atom_type"], tensor.keys.values)
    return TensorMap(keys, [_of_system(block, index) for block in tensor.blocks()])


def _of_system(block: TensorBlock, index: int) -> TensorBlock:
    """The same with another number of the system."""
    values = block.samples.values.clone()
    values[:, block.samples.names.index("system")] = index
    samples = Labels(block.samples.names, values)
    return TensorBlock(block.values.contiguous(), samples, block.components, block.properties)


def _number(value: float, index: int, name: str) -> TensorBlock:
    """One number of a system."""
    values = torch.tensor([[value]], dtype=torch.float64)
    samples = Labels(["system"], torch.tensor([[index]]))
    return TensorBlock(values, samples, [], Labels([name], _ZERO))


def _energy(reference: Reference, index: int, forces: bool) -> TensorBlock:
    """Energy (eV), with minus the forces (eV/Angstrom) as its gradient."""
    assert reference.energy is not None
    block = _number(reference.energy, index, "energy")
    if forces:
        gradient = -np.asarray(reference.forces, float)[:, :, None]
        atoms = torch.arange(len(gradient))
        samples = torch.stack([torch.zeros_like(atoms), atoms], dim=1)
        block.add_gradient(
            "positions",
            TensorBlock(
                torch.from_numpy(gradient),
                Labels(["sample", "atom"], samples),
                [Labels(["xyz"], torch.arange(3).reshape(-1, 1))],
                block.properties,
            ),
        )
    return block


def _is_name_of_pyscf(basis: str | os.PathLike[str]) -> bool:
    return not Path(basis).exists() and str(basis) not in shipped_models()


def _count_entries(archive: zipfile.ZipFile, path: Path, target: str) -> int:
    names = set(archive.namelist())
    count = sum(name.endswith("/system.mta") for name in names)
    if not count:
        raise ValueError(f"{path} is no DiskDataset: it has no 0/system.mta")
    fields = sorted(
        name.removeprefix("0/").removesuffix(".mts")
        for name in names
        if name.startswith("0/") and name.endswith(".mts")
    )
    if target not in fields:
        raise ValueError(f"{path} has no target {target}: it has {', '.join(fields) or 'none'}")
    for index in range(count):
        for name in (f"{index}/system.mta", f"{index}/{target}.mts"):
            if name not in names:
                raise ValueError(f"{path} is no DiskDataset: {name} is missing")
    return count


def _species_of(archive: zipfile.ZipFile, count: int) -> list[int]:
    found: set[int] = set()
    for index in range(count):
        with _naming(archive, index):
            found |= set(_read_system(archive, index).types.tolist())
    return sorted(found)


def _references(
    archive: zipfile.ZipFile, count: int, target: str, dataset: DataSet, report: Report
) -> Iterator[Reference]:
    for index in range(count):
        yield _reference(archive, index, target, dataset.basis, dataset.settings)
        report()


def _reference(
    archive: zipfile.ZipFile, index: int, target: str, basis: Basis, settings: Mapping[str, Any]
) -> Reference:
    """One entry as a reference."""
    energy, forces = None, None
    with _naming(archive, index):
        atoms = _atoms(_read_system(archive, index))
        coefficients = _vector(basis, atoms, _read_map(archive, index, target))
        if _has(archive, index, "energy"):
            energy, forces = _read_energy(_read_map(archive, index, "energy"), len(atoms))
        if _has(archive, index, "charge"):
            charge = round(float(_read_map(archive, index, "charge").block(0).values))
            atoms.info.update({"charge": charge} if charge else {})
    return Reference(
        atoms=atoms,
        coefficients=coefficients,
        settings=settings,
        converged=True,
        energy=energy,
        forces=forces,
        provenance={"file": Path(str(archive.filename)).name, "entry": index},
    )


def _has(archive: zipfile.ZipFile, index: int, name: str) -> bool:
    return f"{index}/{name}.mts" in archive.NameToInfo


@contextmanager
def _naming(archive: zipfile.ZipFile, index: int) -> Iterator[None]:
    """Say which entry an error is about."""
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{archive.filename}: entry {index} cannot be used ({reason})") from error


def _read_system(archive: zipfile.ZipFile, index: int) -> System:
    return load_system(io.BytesIO(archive.read(f"{index}/system.mta")))


def _read_map(archive: zipfile.ZipFile, index: int, name: str) -> TensorMap:
    buffer = np.load(io.BytesIO(archive.read(f"{index}/{name}.mts")))
    return load_buffer(torch.from_numpy(buffer))


def _atoms(system: System) -> Atoms:
    return Atoms(
        system.types.numpy(),
        positions=system.positions.double().numpy(),
        cell=system.cell.double().numpy(),
        pbc=system.pbc.numpy(),
    )


def _vector(basis: Basis, atoms: Atoms, tensor: TensorMap) -> np.ndarray:
    """Flat vector of one system, whatever number it has."""
    basis.check_species(atoms.numbers)
    first = TensorMap(tensor.keys, [_of_system(block, 0) for block in tensor.blocks()])
    return from_tensormap(basis, [atoms.numbers], first)[0]


def _read_energy(tensor: TensorMap, natoms: int) -> tuple[float, np.ndarray | None]:
    block = tensor.block(0)
    forces = None
    if block.has_gradient("positions"):
        forces = -block.gradient("positions").values.numpy().reshape(natoms, 3)
    return float(block.values), forces
