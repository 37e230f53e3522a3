"""Molecules to judge ``organic-pbe`` on that it was not trained on.

g2          small molecules of ASE's g2 set, those that are not in the training set
s22         dimers of the S22 set: hydrogen bonds, stacks
drugs       20 drug molecules of 20 to 40 atoms, conformers of lowest force-field energy
torsions    a turn of butane's middle bond and of formic acid's C-O bond, in steps of 30 degrees
stretches   the C-O bond of methanol and the C-Cl bond of chloromethane, from -20 to +40 %
hexamer     the water hexamer of the examples
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.collections import g2
from ase.data.s22 import create_s22_system, s22
from ase.io import read

from ase_rholearn.bonds import BONDED, close_pairs, molecules
from ase_rholearn.references import Reference
from ase_rholearn.training.data import DataSet, read_split

HERE = Path(__file__).parent
RECIPE = HERE.parent / "models" / "organic-pbe"
SPECIES = {"H", "C", "N", "O", "F", "S", "Cl"}

#: Twenty drugs, by name.
DRUGS = {
    "paracetamol": "CC(=O)Nc1ccc(O)cc1",
    "aspirin": "CC(=O)Oc1ccccc1C(=O)O",
    "ibuprofen": "CC(C)Cc1ccc(cc1)C(C)C(=O)O",
    "caffeine": "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "nicotine": "CN1CCCC1c1cccnc1",
    "benzocaine": "CCOC(=O)c1ccc(N)cc1",
    "theophylline": "CN1C2=C(C(=O)N(C1=O)C)NC=N2",
    "metronidazole": "Cc1ncc([N+](=O)[O-])n1CCO",
    "sulfadiazine": "Nc1ccc(cc1)S(=O)(=O)Nc1ncccn1",
    "captopril": "CC(CS)C(=O)N1CCCC1C(=O)O",
    "naproxen": "COc1ccc2cc(ccc2c1)C(C)C(=O)O",
    "diclofenac": "OC(=O)Cc1ccccc1Nc1c(Cl)cccc1Cl",
    "flurbiprofen": "CC(C(=O)O)c1ccc(c(F)c1)-c1ccccc1",
    "gabapentin": "NCC1(CC(=O)O)CCCCC1",
    "levodopa": "NC(Cc1ccc(O)c(O)c1)C(=O)O",
    "melatonin": "COc1ccc2[nH]cc(CCNC(C)=O)c2c1",
    "amphetamine": "CC(N)Cc1ccccc1",
    "serotonin": "NCCc1c[nH]c2ccc(O)cc12",
    "stavudine": "Cc1cn(C2C=CC(CO)O2)c(=O)[nH]c1=O",
    "chlorpropham": "CC(C)OC(=O)Nc1cccc(Cl)c1",
}


def small_molecules() -> list[Atoms]:
    """Of g2, with closed shells, without those that the model was trained on."""
    known = {skeleton(one) for atoms in training_structures() for one in single(atoms)}
    chosen = [
        named(molecule(name), name)
        for name in g2.names
        if not molecule(name).get_initial_magnetic_moments().any()
    ]
    return [a for a in chosen if set(a.symbols) <= SPECIES and skeleton(a) not in known]


def training_structures() -> list[Atoms]:
    """Those that the model was trained on."""
    dataset = DataSet.open(RECIPE / "densities")
    parts = read_split(RECIPE / "split.json", dataset.ids)
    return [dataset.load(n).atoms for n in [*parts["training"], *parts["validation"]]]


def single(atoms: Atoms) -> list[Atoms]:
    """The molecules of a structure."""
    labels = molecules(atoms).labels
    return [atoms[labels == k] for k in range(labels.max() + 1)]


def skeleton(atoms: Atoms) -> tuple[str, ...]:
    """The same for all geometries of a molecule: species and bonds, five neighbours deep."""
    neighbors = bonded(atoms)
    labels = [str(symbol) for symbol in atoms.symbols]
    for _ in range(5):
        around = [sorted(labels[j] for j in some) for some in neighbors]
        labels = [short(f"{label}({','.join(n)})") for label, n in zip(labels, around, strict=True)]
    return tuple(sorted(labels))


def short(text: str) -> str:
    """A fingerprint."""
    import hashlib

    return hashlib.sha256(text.encode()).hexdigest()[:16]


def named(atoms: Atoms, name: str) -> Atoms:
    """With a name, and without what calculators would read as charges or moments."""
    plain = Atoms(atoms.symbols, atoms.positions)
    plain.info["name"] = name
    return plain


def torsions() -> list[Atoms]:
    """Every 30 degrees from 0 to 180."""
    butane, acid = molecule("trans-butane"), molecule("HCOOH")
    chain = [i for i in range(len(butane)) if butane.symbols[i] == "C"]
    chain = ordered_chain(butane, chain)
    near = bonded(acid)
    found = []
    for angle in range(0, 181, 30):
        turned = butane.copy()
        moving = beyond(butane, chain[1], chain[2])
        turned.set_dihedral(*chain, angle, indices=moving)
        found.append(named(turned, f"butane {angle}"))
        turned = acid.copy()
        oxygen = next(i for i in range(5) if acid.symbols[i] == "O" and len(near[i]) == 2)
        carbon = next(i for i in near[oxygen] if acid.symbols[i] == "C")
        hydrogen = next(i for i in near[oxygen] if acid.symbols[i] == "H")
        other = next(i for i in near[carbon] if acid.symbols[i] == "O" and i != oxygen)
        turned.set_dihedral(other, carbon, oxygen, hydrogen, angle, indices=[hydrogen])
        found.append(named(turned, f"formic acid {angle}"))
    return found


def stretches() -> list[Atoms]:
    """A bond of two molecules, in steps of 10 %."""
    found = []
    for name, far in (("CH3OH", "O"), ("CH3Cl", "Cl")):
        atoms = molecule(name)
        heavy = next(i for i in range(len(atoms)) if atoms.symbols[i] == far)
        carbon = next(i for i in range(len(atoms)) if atoms.symbols[i] == "C")
        for percent in range(-20, 41, 10):
            moved = atoms.copy()
            length = atoms.get_distance(carbon, heavy) * (1 + percent / 100)
            moved.set_distance(carbon, heavy, length, fix=0, indices=beyond(atoms, carbon, heavy))
            found.append(named(moved, f"{name} {percent:+d} %"))
    return found


def bonded(atoms: Atoms) -> list[list[int]]:
    """Neighbours of each atom."""
    pairs = close_pairs(atoms, BONDED)
    return [pairs.j[pairs.i == i].tolist() for i in range(len(atoms))]


def beyond(atoms: Atoms, start: int, through: int) -> list[int]:
    """Atoms on the far side of a bond that is in no ring."""
    neighbors = bonded(atoms)
    found, pending = {start, through}, [through]
    while pending:
        new = [j for j in neighbors[pending.pop()] if j not in found]
        found.update(new)
        pending += new
    return sorted(found - {start})


def ordered_chain(atoms: Atoms, carbons: list[int]) -> list[int]:
    """Carbon atoms from one end to the other."""
    neighbors = bonded(atoms)
    near = {c: [j for j in neighbors[c] if j in carbons] for c in carbons}
    chain = [next(c for c in carbons if len(near[c]) == 1)]
    while len(chain) < len(carbons):
        chain.append(next(j for j in near[chain[-1]] if j not in chain))
    return chain


def make_drugs() -> None:
    """Write ``drug-molecules.xyz`` (needs RDKit)."""
    from ase.io import write

    from ase_rholearn.training.sampling import conformers

    found = [named(conformers(smiles)[0], name) for name, smiles in DRUGS.items()]
    sizes = np.array([len(atoms) for atoms in found])
    assert sizes.min() >= 20, sizes
    assert sizes.max() <= 40, sizes
    write(HERE / "drug-molecules.xyz", found, format="extxyz")


def dimers() -> list[Atoms]:
    """All of S22."""
    return [named(create_s22_system(name), name) for name in s22]


def drugs() -> list[Atoms]:
    """What :func:`make_drugs` has written."""
    return read(HERE / "drug-molecules.xyz", index=":")


def hexamer() -> list[Atoms]:
    """That of the examples."""
    path = HERE.parent / "examples" / "water-hexamer.npz"
    return [named(Reference.load(path).atoms, "water hexamer")]


#: All of them by name; each structure has a ``name``, too.
SETS: dict[str, Callable[[], list[Atoms]]] = {
    "g2": small_molecules,
    "s22": dimers,
    "drugs": drugs,
    "torsions": torsions,
    "stretches": stretches,
    "hexamer": hexamer,
}


if __name__ == "__main__":
    make_drugs()
