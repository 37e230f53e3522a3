"""Commands that write what other programs start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import Device, Index, Model, Structure, load_density, output_path

if TYPE_CHECKING:
    from ase import Atoms

Shape = Annotated[
    tuple[int, int, int], typer.Option(help="Points of the code's finest grid along each axis.")
]
Valence = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SYMBOL=...",
        help="Valence electrons of a pseudopotential: Si=4, or by a name, Si=GTH-PBE-q4. "
        "Once for each element.",
    ),
]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def seed() -> None:
    """Write files that self-consistent calculations of other programs start from."""


@app.command()
def pyscf(
    structure: Structure,
    orbital_basis: Annotated[
        str, typer.Option("--basis", "-b", help="Orbital basis, as PySCF names it.")
    ] = "def2-svp",
    xc: Annotated[str, typer.Option(help="Functional of the calculation; HF for none.")] = "PBE",
    charge: Annotated[
        int | None, typer.Option(help="Of the calculation (default: that of the density).")
    ] = None,
    spin: Annotated[int, typer.Option(min=0, help="Unpaired electrons.")] = 0,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: STRUCTURE's name, .chk.")
    ] = None,
    check: Annotated[
        bool, typer.Option(help="Take PySCF's own start where the density is a worse one.")
    ] = True,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Write a checkpoint of PySCF: mf.kernel(mf.from_chk("NAME.chk")) starts from it."""
    from ..extras import needs

    with needs("pyscf", "pyscf", "starts of calculations"):
        import pyscf as _  # noqa: F401
    from ..scf import write_checkpoint

    path = output_path(output, structure, ".chk")
    rho = load_density(structure, model, index, device)
    mean_field = _calculation(rho.atoms, orbital_basis, xc, charge, spin)
    write_checkpoint(path, mean_field, rho, check=check)
    typer.echo(f'wrote {path}: mf.kernel(mf.from_chk("{path}")) starts from it')


@app.command()
def cp2k(
    structure: Structure,
    shape: Shape,
    valence: Valence = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: STRUCTURE's name, .cube.")
    ] = None,
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Write a cube and a piece of input: CP2K starts from it with EXTERNAL_DENSITY."""
    from ..scf import write_cp2k_start

    path = output_path(output, structure, ".cube", (".cube",))
    potentials = _valence(valence)
    rho = load_density(structure, model, index, device)
    electrons = write_cp2k_start(path, rho, shape, potentials)
    typer.echo(
        f"wrote {path} ({electrons:.4f} electrons on the grid) and {path.with_suffix('.inp')}"
    )


@app.command()
def vasp(
    structure: Structure,
    shape: Shape,
    potcar: Annotated[
        Path | None, typer.Option(help="POTCAR, whose ZVAL are taken instead of --valence.")
    ] = None,
    valence: Valence = None,
    output: Annotated[Path, typer.Option("--output", "-o")] = Path("CHGCAR"),
    index: Index = -1,
    model: Model = "water-pbe",
    device: Device = None,
) -> None:
    """Write a CHGCAR for ICHARG = 1; shape is NGXF, NGYF, NGZF. No PAW occupancies are in it."""
    from ..scf import valence_charges, write_vasp_start

    path = output_path(output, structure, "")
    if potcar is not None and valence:
        raise ValueError("--potcar and --valence both say the valence electrons: give one of them")
    potentials = potcar or valence_charges(_valence(valence))
    rho = load_density(structure, model, index, device)
    electrons = write_vasp_start(path, rho, shape, potentials)
    n, m, l = shape
    typer.echo(
        f"wrote {path} ({electrons:.4f} electrons on the grid): "
        f"ICHARG = 1, NGXF = {n}, NGYF = {m}, NGZF = {l}"
    )


def _valence(given: list[str] | None) -> dict[str, str]:
    """Numbers or names by chemical symbol."""
    pairs = [text.partition("=") for text in given or []]
    wrong = [symbol for symbol, _, value in pairs if not value]
    if wrong:
        raise ValueError(f"--valence is {wrong[0]!r}: give such as Si=4 or Si=GTH-PBE-q4")
    return {symbol: value for symbol, _, value in pairs}


def _calculation(atoms: Atoms, orbital_basis: str, xc: str, charge: int | None, spin: int) -> Any:
    """A mean-field object, restricted without unpaired electrons."""
    from pyscf import dft, scf

    from ..references.pyscf.molecule import build_molecule
    from ..references.pyscf.run import without_checkpoint
    from ..references.pyscf.settings import check_functional

    calculated = atoms.copy()
    if charge is not None:
        calculated.info["charge"] = charge
    molecule = build_molecule(calculated, orbital_basis, spin)
    if xc.upper() == "HF":
        mean_field = scf.UHF(molecule) if spin else scf.RHF(molecule)
    else:
        check_functional(xc)
        mean_field = dft.UKS(molecule, xc=xc) if spin else dft.RKS(molecule, xc=xc)
    return without_checkpoint(mean_field).density_fit()
