"""Four kinds of pictures of one predicted density, and a page to turn it in a browser.

A hexamer of water in the shipped model's density: a plane, what bonding changes, a surface, and
the electrostatic potential on another one. Files go to ``pictures-output``. Run

    python examples/pictures.py
"""

from pathlib import Path

from matplotlib.figure import Figure

from ase_rholearn import RhoCalculator
from ase_rholearn.density.pictures.viewer import potential_field
from ase_rholearn.references import Reference

HERE = Path(__file__).parent
OUTPUT = Path("pictures-output")


def main() -> None:
    OUTPUT.mkdir(exist_ok=True)
    atoms = Reference.load(HERE / "water-hexamer.npz").atoms
    rho = RhoCalculator("water-pbe").get_density(atoms)
    deformation = rho - rho.free_atoms()

    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots(2, 2).ravel()
    first = [0, 1, 2]  # the atoms of one molecule
    rho.plot(plane=first, margin=2.5, ax=axes[0], title="density in the plane of a molecule")
    deformation.plot(plane=first, margin=2.5, limit=0.5, ax=axes[1], title="minus free atoms")
    deformation.plot_isosurface(isovalue=0.1, ax=axes[2], title="minus free atoms, in space")
    rho.plot_potential(ax=axes[3], title="electrostatic potential")
    figure.savefig(OUTPUT / "pictures.png", dpi=90)

    others = {"deformation": deformation, "potential": potential_field(rho)}
    rho.view(OUTPUT / "hexamer.html", others=others)


if __name__ == "__main__":
    main()
