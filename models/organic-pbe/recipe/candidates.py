"""Candidates for further references: molecules with F, S and Cl, and pairs of molecules.

    python models/organic-pbe/recipe/candidates.py      # writes candidates.xyz.gz, some minutes

What the pool of ``structures.xyz.gz`` has few of, or none. Molecules with F, S and Cl are those
of the pool, of which one or two places are taken by these elements; pairs are two molecules that
GFN2-xTB lets relax from an arbitrary contact. Half of all then become frames of dynamics. No
molecule of the test set and of the sets of ``benchmarks/organic_sets.py`` is among them, nor in a
pair.

``ase-rholearn select`` chooses those from which a model has most to learn. Needs
``ase-rholearn[sampling]``.
"""

from __future__ import annotations

import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import vdw_radii
from ase.io import read, write
from rdkit import Chem, RDLogger
from rdkit.Chem.rdChemReactions import ChemicalReaction, ReactionFromSmarts
from tqdm import tqdm

from ase_rholearn.structures import check_atoms
from ase_rholearn.training.sampling import (
    XTB,
    Conformers,
    Dynamics,
    Sampled,
    SamplingPlan,
    conformers,
    read_smiles,
    sample,
)

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[2] / "benchmarks"))

from organic_sets import SETS, skeleton  # noqa: E402  (it lies in the folder of benchmarks)

#: Changes of a molecule: H by a halogen or SH, O and CH2 by S, a sulfide by its oxides.
CHANGES = {
    "fluorine": "[#6;!H0:1]>>[#6:1]F",
    "chlorine": "[#6;!H0:1]>>[#6:1]Cl",
    "thiol": "[#6;!H0:1]>>[#6:1]S",
    "thioether": "[#6:1][O;X2:2][#6:3]>>[#6:1][S:2][#6:3]",
    "thione": "[#6:1]=[O;X1:2]>>[#6:1]=[S:2]",
    "thiol of an alcohol": "[#6:1][O;H1:2]>>[#6:1][S:2]",
    "sulfide": "[C;H2;X4:1]([#6:2])[#6:3]>>[#6:2]S[#6:3]",
    "sulfoxide": "[C;H2;X4:1]([#6:2])[#6:3]>>[#6:2]S(=O)[#6:3]",
    "sulfone": "[C;H2;X4:1]([#6:2])[#6:3]>>[#6:2]S(=O)(=O)[#6:3]",
    "trifluoromethyl": "[C;H3:1][#6:2]>>FC(F)(F)[#6:2]",
}

MOLECULES, PAIRS, SEED = 240, 140, 0

#: Every other structure is a frame of dynamics.
DYNAMICS = Dynamics(temperature=500, frames=1, equilibration_fs=150, spacing_fs=50, timestep_fs=1)
STEPS = (SamplingPlan(Conformers(1), XTB()), SamplingPlan(Conformers(1), XTB(), DYNAMICS))


def main() -> None:
    """Write ``candidates.xyz.gz``."""
    RDLogger.DisableLog("rdApp.*")
    pool = read_gzipped(HERE / "structures.xyz.gz")
    tests = skeletons_of_tests()
    known = tests | {skeleton(atoms) for atoms in pool}
    rng = np.random.default_rng(SEED)
    found = []
    for kind, starts, count in (
        ("substituted", substituted(pool, rng), MOLECULES),
        ("pair", pairs(tests, rng), PAIRS),
    ):
        with tqdm(total=count, desc=kind) as bar:
            for atoms in sampled(starts):
                if skeleton(atoms) in known:
                    continue
                atoms.info["source"] = kind
                rare = sorted({"F", "S", "Cl"} & set(atoms.symbols))
                atoms.info["elements"] = f"with {' '.join(rare) or 'none'}"
                found.append(atoms)
                bar.update()
                if bar.n == count:
                    break
    text = io.StringIO()
    write(text, found, format="extxyz", columns=["symbols", "positions"])
    packed = gzip.compress(text.getvalue().encode(), mtime=0)
    (HERE / "candidates.xyz.gz").write_bytes(packed)


def skeletons_of_tests() -> set[tuple[str, ...]]:
    """Those of all molecules that tests are made on."""
    tests = [*read(HERE / "test.xyz", index=":"), *(a for name in SETS for a in SETS[name]())]
    return {skeleton(atoms) for atoms in tests}


def substituted(pool: list[Atoms], rng: np.random.Generator) -> Iterator[tuple[Atoms | str, int]]:
    """SMILES of molecules of the pool with one or two changes, each once."""
    reactions = [ReactionFromSmarts(smarts) for smarts in CHANGES.values()]
    seen: set[str] = set()
    for index in range(100_000):
        molecule = Chem.MolFromSmiles(str(pool[rng.integers(len(pool))].info["smiles"]))
        for _ in range(rng.integers(1, 3)):
            molecule = molecule and changed(molecule, reactions[rng.integers(len(reactions))], rng)
        if molecule is None:
            continue
        smiles = Chem.MolToSmiles(molecule)
        if smiles not in seen and molecule.GetNumHeavyAtoms() <= 9:
            seen.add(smiles)
            yield smiles, index % 2


def changed(
    molecule: Chem.Mol, reaction: ChemicalReaction, rng: np.random.Generator
) -> Chem.Mol | None:
    """One of the products; None if there is none."""
    products = reaction.RunReactants((molecule,))
    if not products:
        return None
    product = products[rng.integers(len(products))][0]
    try:
        Chem.SanitizeMol(product)
    except Chem.MolSanitizeException:
        return None
    return product


def pairs(
    tests: set[tuple[str, ...]], rng: np.random.Generator
) -> Iterator[tuple[Atoms | str, int]]:
    """Two molecules each in contact, in arbitrary orientations."""
    single = [
        conformers(one.smiles, Conformers(1))[0] for one in read_smiles(HERE / "partners.smi")
    ]
    usable = [atoms for atoms in single if skeleton(atoms) not in tests]
    for index in range(100_000):
        first, second = (usable[k].copy() for k in rng.integers(len(usable), size=2))
        if len(first) + len(second) <= 22:
            pair = in_contact(first, second, rng)
            pair.info["smiles"] = f"{first.info['smiles']}.{second.info['smiles']}"
            yield pair, index % 2


def in_contact(first: Atoms, second: Atoms, rng: np.random.Generator) -> Atoms:
    """Both, the second turned and as near as van der Waals radii allow."""
    for atoms in (first, second):
        atoms.positions -= atoms.positions.mean(axis=0)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    second.positions = second.positions @ (turn * np.linalg.det(turn))
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    radii = vdw_radii[first.numbers][:, None] + vdw_radii[second.numbers]
    for distance in np.arange(0.0, 20.0, 0.1):
        moved = second.positions + distance * direction
        if (np.linalg.norm(first.positions[:, None] - moved, axis=2) >= radii).all():
            break
    return Atoms([*first.symbols, *second.symbols], np.concatenate([first.positions, moved]))


def sampled(starts: Iterator[tuple[Atoms | str, int]]) -> Iterator[Atoms]:
    """What xTB makes of each; those that fail are passed over."""
    for start, plan in starts:
        smiles, structures = ([start], []) if isinstance(start, str) else ([], [start])
        for result in sample(structures, smiles, STEPS[plan], SEED):
            if isinstance(result, Sampled):
                atoms = check_atoms(result.atoms)
                plain = Atoms(atoms.symbols, atoms.positions)
                plain.info["smiles"] = start if isinstance(start, str) else start.info["smiles"]
                yield plain


def read_gzipped(path: Path) -> list[Atoms]:
    """Structures of a compressed file."""
    return read(io.StringIO(gzip.decompress(path.read_bytes()).decode()), ":", format="extxyz")


if __name__ == "__main__":
    main()
