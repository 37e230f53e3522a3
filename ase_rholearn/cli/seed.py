"""Commands that write what other programs start from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .inputs import Device, Index, Model, Structure, load_density, output_path

if TYPE_CHECKING:
    from ase import Atoms

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
