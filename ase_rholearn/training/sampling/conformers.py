"""Conformers of molecules from SMILES, by RDKit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms

from ...extras import needs
from .checks import check_count, check_number
from .failure import SamplingError

#: Orders of equivalent atoms that are tried when conformers are compared.
_ALIGNMENTS = 1000


@dataclass(frozen=True)
class Conformers:
    """How conformers are made.

    Attributes
    ----------
    count
        Most conformers; rigid molecules have fewer. Those of lowest energy in the force field.
    rmsd
        Conformers nearer to each other than this are one, Angstrom: root mean square of
        distances of all atoms but H on C, with equivalent atoms exchanged as is best. So are
        mirror images, which tell a model nothing new.
    attempts
        Embeddings for each conformer wanted; with few, conformers are missed.
    steps
        Most steps of the force field (MMFF94, where it has parameters, else UFF).
    """

    count: int = 5
    rmsd: float = 0.3
    attempts: int = 20
    steps: int = 2000

    def __post_init__(self) -> None:
        check_count("count", self.count)
        check_number("rmsd", self.rmsd, "Angstrom", least=0)
        check_count("attempts", self.attempts)
        check_count("steps", self.steps)


@dataclass(frozen=True)
class Smiles:
    """A molecule of a SMILES file.

    Attributes
    ----------
    smiles
        Its SMILES.
    name
        Its name, may be empty.
    """

    smiles: str
    name: str = ""


def read_smiles(path: str | os.PathLike[str], *, argument: str = "smiles") -> list[Smiles]:
    """The molecules of a file with one SMILES a line.

    A name may follow the SMILES. Empty lines count for nothing, nor does what follows a ``#``
    at the start of a line or after a space (elsewhere it is a triple bond).

    Parameters
    ----------
    path
        The file.
    argument
        The name that error messages use for it.

    Raises
    ------
    FileNotFoundError, ValueError
        There is no such file, it holds no SMILES, or some that :func:`conformers` refuses; the
        message names the first line.
    ImportError
        RDKit is not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{argument}: there is no file {path}")
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{argument}: {path} is not a text file (UTF-8)") from error
    found, bad = [], []
    for number, line in enumerate(lines, 1):
        words = _words(line)
        if not words:
            continue
        try:
            parse_smiles(words[0])
        except ValueError as error:
            bad.append(f"line {number}: {error}")
        found.append(Smiles(words[0], " ".join(words[1:])))
    if bad:
        more = f" (and {len(bad) - 1} more lines)" if len(bad) > 1 else ""
        raise ValueError(f"{argument}: {path}, {bad[0]}{more}")
    if not found:
        raise ValueError(f"{argument}: {path} holds no SMILES")
    return found


def conformers(
    smiles: str, plan: Conformers | None = None, seed: int | np.random.SeedSequence = 0
) -> list[Atoms]:
    """Conformers by ETKDGv3, relaxed in a force field, lowest energy first.

    Atoms are in the order of the canonical SMILES, then hydrogens, however the SMILES is
    written. ``info`` has ``smiles`` (canonical), ``charge`` unless it is 0, and ``source``
    (``"conformer"``). Stereochemistry that the SMILES leaves open is drawn.

    Parameters
    ----------
    smiles
        A molecule with a closed shell.
    plan
        How; left out: the defaults.
    seed
        Of the embedding.

    Raises
    ------
    ValueError
        RDKit cannot read the SMILES, or it is no closed-shell molecule.
    SamplingError
        There is no embedding, or no force field for the molecule.
    ImportError
        RDKit is not installed.

    Examples
    --------
    >>> butane = conformers("CCCC", Conformers(count=5))
    >>> len(butane)  # anti, and one of the two gauche, which are mirror images
    2
    >>> butane[0].info
    {'smiles': 'CCCC', 'source': 'conformer'}
    """
    plan = plan or Conformers()
    canonical = parse_smiles(smiles)
    with _rdkit() as chem:
        molecule = chem.AddHs(chem.MolFromSmiles(canonical))
        charge = chem.GetFormalCharge(molecule)
        _embed(molecule, plan, seed)
        energies = _relax(molecule, plan)
        kept = _distinct(molecule, energies, plan)
        numbers = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
        places = [molecule.GetConformer(number).GetPositions() for number in kept]
    info: dict[str, Any] = {"smiles": canonical, "source": "conformer"}
    if charge:
        info["charge"] = charge
    return [Atoms(numbers, positions=positions, info=info) for positions in places]


def parse_smiles(smiles: str) -> str:
    """The canonical SMILES, without numbers of atom maps.

    Raises
    ------
    ValueError
        RDKit cannot read it, or it is no closed-shell molecule.
    ImportError
        RDKit is not installed.

    Examples
    --------
    >>> parse_smiles("OCC")
    'CCO'
    """
    with _rdkit() as chem:
        # read first without checks, because only those say what is wrong
        molecule = chem.MolFromSmiles(smiles, sanitize=False)
        if molecule is None:
            raise ValueError(f"{smiles!r} is not a SMILES that RDKit can read: correct it")
        if problems := chem.DetectChemistryProblems(molecule):
            raise ValueError(f"{smiles!r} is no molecule: {problems[0].Message()}")
        molecule = chem.MolFromSmiles(smiles)
        _check_molecule(chem, molecule, smiles)
        for atom in molecule.GetAtoms():
            atom.SetAtomMapNum(0)
        return str(chem.MolToSmiles(molecule))


def _check_molecule(chem: Any, molecule: Any, smiles: str) -> None:
    atoms = list(molecule.GetAtoms())
    if not atoms:
        raise ValueError(f"{smiles!r} has no atoms: give a molecule")
    if any(atom.GetAtomicNum() == 0 for atom in atoms):
        raise ValueError(f"{smiles!r} has an atom without element (*): give it one")
    if len(chem.GetMolFrags(molecule)) > 1:
        raise ValueError(
            f"{smiles!r} has several molecules, and nothing says how they lie: give each in a "
            "line of its own, or the complex as a structure"
        )
    radicals = [a for a in atoms if a.GetNumRadicalElectrons()]
    if radicals:
        first = radicals[0]
        raise ValueError(
            f"{smiles!r} is a radical (at atom {first.GetSymbol()}{first.GetIdx()}): only closed "
            "shells are supported"
        )
    electrons = sum(a.GetAtomicNum() for a in chem.AddHs(molecule).GetAtoms())
    electrons -= chem.GetFormalCharge(molecule)
    if electrons <= 0 or electrons % 2:
        raise ValueError(f"{smiles!r} has {electrons} electrons: only closed shells are supported")


def _embed(molecule: Any, plan: Conformers, seed: int | np.random.SeedSequence) -> None:
    """Add conformers as they are embedded."""
    from rdkit.Chem import rdDistGeom

    # typed as Any: RDKit's stubs give settings the wrong type
    parameters: Any = rdDistGeom.ETKDGv3()
    # 31 bits, because RDKit takes negative numbers for "any"
    parameters.randomSeed = int(np.random.default_rng(seed).integers(2**31))
    count = plan.count * plan.attempts
    for random_start in (False, True):  # the second way is slower and manages cages
        parameters.useRandomCoords = random_start
        if list(rdDistGeom.EmbedMultipleConfs(molecule, count, parameters)):
            return
    raise SamplingError(
        f"RDKit found no geometry for the molecule in {count} attempts: is its stereochemistry "
        "possible? If it is, raise attempts, or give a structure"
    )


def _relax(molecule: Any, plan: Conformers) -> list[float]:
    """Relax all conformers; energies in kcal/mol."""
    from rdkit.Chem import rdForceFieldHelpers

    if rdForceFieldHelpers.MMFFHasAllMoleculeParams(molecule):
        results = rdForceFieldHelpers.MMFFOptimizeMoleculeConfs(molecule, maxIters=plan.steps)
    elif rdForceFieldHelpers.UFFHasAllMoleculeParams(molecule):
        results = rdForceFieldHelpers.UFFOptimizeMoleculeConfs(molecule, maxIters=plan.steps)
    else:
        raise SamplingError(
            "neither MMFF94 nor UFF has parameters for the molecule: give a structure"
        )
    return [energy for _, energy in results]


def _distinct(molecule: Any, energies: list[float], plan: Conformers) -> list[int]:
    """Conformers that differ, by rising energy."""
    skeleton = _skeleton(molecule)
    mirrored = _mirrored(skeleton)
    names = [conformer.GetId() for conformer in molecule.GetConformers()]
    kept: list[int] = []
    # energies of one conformer agree to 1e-6 only, and sorting must not depend on the rest
    for index in sorted(range(len(names)), key=lambda i: (round(energies[i], 4), i)):
        if len(kept) == plan.count:
            break
        if all(_apart(skeleton, mirrored, names[index], k) >= plan.rmsd for k in kept):
            kept.append(names[index])
    return kept


def _apart(skeleton: Any, mirrored: Any, one: int, other: int) -> float:
    from rdkit.Chem import rdMolAlign

    # aligning moves the first argument, which changes no shape
    return min(
        rdMolAlign.GetBestRMS(probe, skeleton, one, other, maxMatches=_ALIGNMENTS)
        for probe in (skeleton, mirrored)
    )


def _skeleton(molecule: Any) -> Any:
    """The molecule without H on C, whose places follow from those of C."""
    from rdkit import Chem

    skeleton = Chem.RWMol(molecule)
    skeleton.BeginBatchEdit()
    for atom in molecule.GetAtoms():
        neighbors = [n.GetAtomicNum() for n in atom.GetNeighbors()]
        if atom.GetAtomicNum() == 1 and neighbors == [6]:
            skeleton.RemoveAtom(atom.GetIdx())
    skeleton.CommitBatchEdit()
    return skeleton.GetMol()


def _mirrored(molecule: Any) -> Any:
    from rdkit import Chem

    mirrored = Chem.Mol(molecule)
    for conformer in mirrored.GetConformers():
        for index, place in enumerate(conformer.GetPositions()):
            conformer.SetAtomPosition(index, (-place).tolist())
    return mirrored


@contextmanager
def _rdkit() -> Iterator[Any]:
    """RDKit's `Chem`; what it logs meanwhile is dropped, as our errors say it."""
    with needs("rdkit", "sampling"):
        from rdkit import Chem, rdBase
    with rdBase.BlockLogs():
        yield Chem


def _words(line: str) -> list[str]:
    """Words of a line before a comment."""
    words = []
    for word in line.split():
        if word.startswith("#"):
            break
        words.append(word)
    return words
