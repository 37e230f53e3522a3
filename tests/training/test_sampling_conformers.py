"""Conformers by RDKit: what comes out is the molecule that was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms

from ase_rholearn.structures import total_charge
from ase_rholearn.training.sampling import (
    Conformers,
    SamplingError,
    Smiles,
    conformers,
    read_smiles,
)

pytest.importorskip("rdkit")


def smiles_of(atoms: Atoms) -> str:
    """SMILES with the stereochemistry of the positions; bonds are those of info["smiles"]."""
    from rdkit import Chem, rdBase
    from rdkit.Geometry import Point3D

    with rdBase.BlockLogs():
        molecule = Chem.AddHs(Chem.MolFromSmiles(atoms.info["smiles"]))
        assert [a.GetAtomicNum() for a in molecule.GetAtoms()] == atoms.numbers.tolist()
        Chem.RemoveStereochemistry(molecule)
        conformer = Chem.Conformer(len(atoms))
        for index, place in enumerate(atoms.positions.tolist()):
            conformer.SetAtomPosition(index, Point3D(*place))
        molecule.AddConformer(conformer)
        Chem.AssignStereochemistryFrom3D(molecule)
        return str(Chem.MolToSmiles(Chem.RemoveHs(molecule)))


@pytest.mark.parametrize(
    ("smiles", "count"),
    [
        ("C", 1),
        ("CCCC", 2),  # anti and gauche
        ("CCCCC", 4),  # tt, tg, gg and g+g-
        ("CCO", 2),  # anti and gauche of the OH
        ("ClCCCl", 2),
        ("c1ccccc1", 1),
        ("OB(O)c1ccccc1", 2),  # MMFF has no boron: UFF
    ],
)
def test_count_as_in_textbooks(smiles: str, count: int) -> None:
    assert len(conformers(smiles, Conformers(count=8), seed=4)) == count


def test_at_most_count() -> None:
    assert len(conformers("CCCCCCO", Conformers(count=3))) == 3


@pytest.mark.parametrize(
    "smiles",
    [
        "C[C@H](N)C(=O)O",
        "C[C@@H](N)C(=O)O",
        "F/C=C/Cl",
        "F/C=C\\Cl",
        "O[C@H]1CCCC[C@@H]1F",
        "C[C@@H]1C[C@H]1C",
    ],
)
def test_stereochemistry_is_kept(smiles: str) -> None:
    from rdkit.Chem import CanonSmiles

    found = conformers(smiles, Conformers(count=4))
    assert {atoms.info["smiles"] for atoms in found} == {CanonSmiles(smiles)}
    assert {smiles_of(atoms) for atoms in found} == {CanonSmiles(smiles)}


def test_the_spelling_does_not_count() -> None:
    first, second = (conformers(s, seed=3) for s in ("OCC(C)=O", "CC(=O)CO"))
    assert first == second
    assert first[0].info == second[0].info
    assert conformers("[CH3:7][OH:2]")[0].info["smiles"] == "CO"


def test_deterministic_and_seeded() -> None:
    first, again, other = (conformers("CCCCO", Conformers(count=2), seed=s) for s in (1, 1, 2))
    assert first == again
    assert first[0].positions.tolist() != other[0].positions.tolist()


@pytest.mark.parametrize(
    ("smiles", "charge", "formula"),
    [("[NH4+]", 1, "H4N"), ("CC(=O)[O-]", -1, "C2H3O2"), ("[O-]C(=O)C(=O)[O-]", -2, "C2O4")],
)
def test_charge(smiles: str, charge: int, formula: str) -> None:
    atoms = conformers(smiles)[0]
    assert total_charge(atoms) == atoms.info["charge"] == charge
    assert atoms.get_chemical_formula() == formula


def test_neutral_molecules_have_no_charge_in_info() -> None:
    assert conformers("C[N+](=O)[O-]")[0].info == {
        "smiles": "C[N+](=O)[O-]",
        "source": "conformer",
    }


def test_geometry_is_relaxed() -> None:
    water = conformers("O")[0]
    assert water.get_distance(0, 1) == pytest.approx(0.97, abs=0.02)
    assert water.get_angle(1, 0, 2) == pytest.approx(104, abs=2)


def test_lowest_energy_comes_first() -> None:
    butane = conformers("CCCC", Conformers(count=2))
    assert abs(butane[0].get_dihedral(0, 1, 2, 3)) == pytest.approx(180, abs=1)
    gauche = butane[1].get_dihedral(0, 1, 2, 3)
    assert min(gauche, 360 - gauche) == pytest.approx(65, abs=5)


@pytest.mark.parametrize(
    ("smiles", "match"),
    [
        ("C1CC", "'C1CC' is not a SMILES that RDKit can read"),
        ("", "has no atoms"),
        ("C(C)(C)(C)(C)C", "is no molecule: .*valence"),
        ("[CH3]", "is a radical .at atom C0.: only closed shells"),
        ("[O]N=O", "is a radical"),
        ("*C", "an atom without element"),
        ("[Na+].[Cl-]", "has several molecules"),
        ("[H+]", "has 0 electrons"),
    ],
)
def test_refused(smiles: str, match: str) -> None:
    with pytest.raises(ValueError, match=match):
        conformers(smiles)


def test_impossible_geometry() -> None:
    # the bridgeheads of bicyclo[2.1.1]hexane cannot have hydrogens on opposite sides
    with pytest.raises(SamplingError, match=r"no geometry .* stereochemistry"):
        conformers("C1C[C@H]2C[C@H]1C2", Conformers(count=1, attempts=1))


def test_no_force_field() -> None:
    with pytest.raises(SamplingError, match="neither MMFF94 nor UFF"):
        conformers("FS(F)(F)(F)(F)F")


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"count": 0}, "count is 0"),
        ({"rmsd": -1}, "rmsd is -1"),
        ({"attempts": 0}, "attempts is 0"),
        ({"steps": 0}, "steps is 0"),
    ],
)
def test_bad_parameters(parameters: dict[str, Any], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        Conformers(**parameters)


def test_read_smiles(tmp_path: Path) -> None:
    path = tmp_path / "molecules.smi"
    path.write_text(
        "# alcohols\n\nCCO  ethyl alcohol # from wine\nCO\tmethanol\n  CC#N\n#CC\nC#C#\n".replace(
            "C#C#\n", "C#C #\n"
        )
    )
    assert read_smiles(path) == [
        Smiles("CCO", "ethyl alcohol"),
        Smiles("CO", "methanol"),
        Smiles("CC#N"),
        Smiles("C#C"),
    ]


def test_read_smiles_names_the_line(tmp_path: Path) -> None:
    path = tmp_path / "molecules.smi"
    with pytest.raises(FileNotFoundError, match="no file"):
        read_smiles(path)
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="holds no SMILES"):
        read_smiles(path)
    path.write_text("CCO\n\nC1CC ring\nC[CH2]\nC\n")
    with pytest.raises(
        ValueError, match=r"smi, line 3: 'C1CC' is not a SMILES .* .and 1 more lines"
    ):
        read_smiles(path)
    path.write_bytes(b"\xff\xfeC\0")
    with pytest.raises(ValueError, match="not a text file"):
        read_smiles(path)


def test_equivalent_hydrogens_are_one_conformer() -> None:
    """Rotations of a methyl group change labels, not the molecule."""
    assert len(conformers("CC(C)(C)C", Conformers(count=5, rmsd=0.05))) == 1


def test_conformers_differ() -> None:
    found = conformers("NCC(=O)O", Conformers(count=8))
    assert len(found) > 2
    distances = [np.sort(atoms.get_all_distances().ravel()) for atoms in found]
    for index, one in enumerate(distances):
        for other in distances[:index]:
            assert np.abs(one - other).max() > 0.1
