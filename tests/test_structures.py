"""Checks of structures, and total charges."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from hypothesis import given, settings
from hypothesis import strategies as st

from ase_rholearn.structure_files import iterate_structures
from ase_rholearn.structures import MINIMUM_DISTANCE, check_atoms, total_charge


@pytest.mark.parametrize(
    "atoms",
    [
        molecule("C2H6"),
        bulk("Si"),
        Atoms("H"),
        Atoms("H2", [[0, 0, 0], [0, 0, 0.74]]),
        Atoms("H2", [[0, 0, 0], [0, 0, 1.0]], cell=[0, 0, 4], pbc=(False, False, True)),
        Atoms("H2", [[0, 0, 0], [1e9, -1e9, 1e9]]),  # as far apart as one likes
        Atoms("He", [[500.0, 0, 0]], cell=[3, 3, 3], pbc=True),
        # a cell vector without length is fine where nothing is periodic
        Atoms("H", cell=[1, 0, 0]),
    ],
)
def test_good_structures_are_returned(atoms: Atoms) -> None:
    before = atoms.copy()
    assert check_atoms(atoms) is atoms
    assert atoms == before


@pytest.mark.parametrize("value", [None, "H2O", [], molecule])
def test_not_atoms(value: Any) -> None:
    message = f"start is a {type(value).__name__}: give an ase.Atoms object"
    with pytest.raises(TypeError, match=message):
        check_atoms(value, argument="start")


def test_no_atoms() -> None:
    with pytest.raises(ValueError, match="frame 3 has no atoms: give a structure with at least"):
        check_atoms(Atoms(), argument="frame 3")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_positions_that_are_not_finite(value: float) -> None:
    atoms = molecule("H2O")
    atoms.positions[1, 2] = value
    message = rf"atoms.positions of atom 1 is \[.*{value}\]: give finite coordinates in Angstrom"
    with pytest.raises(ValueError, match=message):
        check_atoms(atoms)


def test_cell_that_is_not_finite() -> None:
    atoms = Atoms("H", cell=[[1, 0, 0], [0, np.nan, 0], [0, 0, 1]])
    with pytest.raises(ValueError, match=r"atoms.cell is .*nan.*: give finite vectors"):
        check_atoms(atoms)


def test_dummy_atoms() -> None:
    message = r"atoms has a dummy species \(X\) at atom 2: remove it, or give it an element"
    with pytest.raises(ValueError, match=message):
        check_atoms(Atoms("HHX", [[0, 0, 0], [1, 0, 0], [2, 0, 0]]))


@pytest.mark.parametrize(
    ("cell", "pbc"),
    [
        ([0, 0, 0], (True, True, True)),
        ([4, 4, 0], (True, True, True)),
        ([0, 4, 4], (True, False, False)),
        ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], (True, True, False)),  # parallel
        ([[4, 0, 0], [0, 4, 0], [4, 4, 0]], (True, True, True)),  # in one plane
    ],
)
def test_periods_without_cell_vectors(cell: Any, pbc: tuple[bool, bool, bool]) -> None:
    message = r"atoms.pbc is \[.*\] but the cell vectors .*: set a cell, or pbc=False for a"
    with pytest.raises(ValueError, match=message):
        check_atoms(Atoms("H", cell=cell, pbc=pbc))


def test_overlapping_atoms() -> None:
    atoms = Atoms("CHO", [[0, 0, 0], [3, 0, 0], [3, 0, 0.2]])
    message = (
        r"atoms: atoms 1 and 2 overlap, 0.2 Angstrom apart \(at least 0.3 is needed\): "
        "remove one, or check the unit"
    )
    with pytest.raises(ValueError, match=message):
        check_atoms(atoms)


def test_atoms_at_one_point() -> None:
    with pytest.raises(ValueError, match="atoms 0 and 1 overlap, 0 Angstrom apart"):
        check_atoms(Atoms("H2"))


def test_overlap_across_the_border() -> None:
    atoms = Atoms("H2", [[0.05, 1, 1], [3.95, 1, 1]], cell=[4, 4, 4])
    check_atoms(atoms)
    atoms.pbc = True
    with pytest.raises(ValueError, match=r"atoms 0 and 1 overlap, 0.1 Angstrom apart"):
        check_atoms(atoms)


@pytest.mark.parametrize("pbc", [(True, True, True), (True, False, False)])
def test_atom_that_overlaps_its_own_image(pbc: tuple[bool, bool, bool]) -> None:
    """A cell in nanometres, say."""
    with pytest.raises(ValueError, match=r"atoms 0 and 0 overlap, 0.2 .* and the cell"):
        check_atoms(Atoms("H", cell=[0.2, 5, 5], pbc=pbc))


@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_refusal_is_by_the_shortest_distance(data: st.DataObject) -> None:
    """Against all distances with minimum images, in cells that are wide enough for them."""
    n = data.draw(st.integers(2, 6))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    pbc = data.draw(st.tuples(st.booleans(), st.booleans(), st.booleans()))
    cell = np.diag(rng.uniform(1.0, 3.0, 3)) + rng.uniform(-0.2, 0.2, (3, 3))
    atoms = Atoms(f"H{n}", rng.uniform(-4, 4, (n, 3)), cell=cell, pbc=pbc)
    # one atom comes close to an image of another, at about the limit
    shift = rng.integers(-2, 3, 3) * np.array(pbc) @ cell
    direction = rng.normal(size=3)
    atoms.positions[0] = atoms.positions[1] + shift
    atoms.positions[0] += rng.uniform(0.1, 0.5) * direction / np.linalg.norm(direction)
    distances = atoms.get_all_distances(mic=True)[np.triu_indices(n, 1)]
    if distances.min() < MINIMUM_DISTANCE:
        with pytest.raises(ValueError, match=f"overlap, {distances.min():.3g} Angstrom"):
            check_atoms(atoms)
    else:
        check_atoms(atoms)


# charges -----------------------------------------------------------------------------------


def charged(initial: list[float] | None = None, info: Any = None) -> Atoms:
    atoms = Atoms("OHH", [[0, 0, 0], [0, 0, 1], [0, 1, 0]], charges=initial)
    if info is not None:
        atoms.info["charge"] = info
    return atoms


@pytest.mark.parametrize(
    ("initial", "info", "expected"),
    [
        (None, None, 0),
        (None, -1, -1),
        (None, 2.0, 2),
        (None, np.int64(1), 1),
        (None, "1", 1),
        ([-1.0, 0.0, 0.0], None, -1),
        ([-0.8, 0.4, 0.4], None, 0),
        ([0.1, 0.2, 0.7], None, 1),  # 0.1 + 0.2 is not 0.3
        ([1.0, 0.0, 0.0], 1, 1),
        ([0.0, 0.0, 0.0], 1, 1),  # zeros say nothing
    ],
)
def test_total_charge(initial: list[float] | None, info: Any, expected: int) -> None:
    charge = total_charge(charged(initial, info))
    assert charge == expected
    assert type(charge) is int


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf, "neutral", [1, 2]])
def test_charge_that_is_no_integer(value: Any) -> None:
    with pytest.raises(ValueError, match=r'atoms.info\["charge"\] is .*: give an integer charge'):
        total_charge(charged(info=value))


@pytest.mark.parametrize("value", [0.5, np.nan])
def test_initial_charges_that_add_up_to_no_integer(value: float) -> None:
    message = f"the sum of initial_charges is {value}: give an integer charge"
    with pytest.raises(ValueError, match=message):
        total_charge(charged([value, 0.0, 0.0]))


@pytest.mark.parametrize("initial", [[1.0, 0.0, 0.0], [-0.8, 0.4, 0.4], [np.nan, 0.0, 0.0]])
def test_two_charges_that_disagree(initial: list[float]) -> None:
    """Also where rounding makes the sum of partial charges nearly zero."""
    message = r'atoms.info\["charge"\] is -1 but initial_charges add up to .*: remove one of them'
    with pytest.raises(ValueError, match=message):
        total_charge(charged(initial, -1))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_only_integer_sums_are_charges(initial: list[float]) -> None:
    total = sum(initial)
    if abs(total - round(total)) < 0.9e-3:
        assert total_charge(charged(initial)) == round(total)
    elif abs(total - round(total)) > 1.1e-3:
        with pytest.raises(ValueError, match="give an integer charge"):
            total_charge(charged(initial))


def test_iterate_structures_gives_all_frames(tmp_path):
    write(tmp_path / "two.xyz", [molecule("H2O"), molecule("CO")])
    assert [len(atoms) for atoms in iterate_structures(tmp_path / "two.xyz")] == [3, 2]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("bad.xyz", "3\n\nO 0 0\n", "molecules: ASE cannot read .*bad.xyz: "),
        ("bad.unknown", "nothing", "bad.unknown has a format that ASE does not know"),
        ("truncated.traj", "- of Ulm", "molecules: "),
    ],
)
def test_iterate_structures_of_damaged_files(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        list(iterate_structures(tmp_path / name, argument="molecules"))


def test_iterate_structures_without_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"molecules: there is no file .*none.xyz"):
        list(iterate_structures(tmp_path / "none.xyz", argument="molecules"))
