"""What densities and differences have in common: values in space, which can be drawn."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms

from .plane import Plane, draw, find_plane
from .space import ISOVALUE, draw_isosurface
from .surface import Surface, check_isovalue, isosurface

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..grid import Grid
    from .viewer import Field, View

#: Dots an inch of files.
_RESOLUTION = 150


class Drawable:
    """What has values in space and nuclei, and can be drawn."""

    #: Whether values of both signs are to be expected.
    _signed = False

    @property
    def _name(self) -> str:
        return "difference" if self._signed else "density"

    atoms: Atoms

    def evaluate(self, points: Any, *, tolerance: float = 1e-12) -> np.ndarray:
        """Values (n,) in e/Angstrom^3 at points (n, 3) in Angstrom."""
        raise NotImplementedError

    def gradient(self, points: Any, *, tolerance: float = 1e-12) -> np.ndarray:
        """Gradients (n, 3) in e/Angstrom^4 at points (n, 3) in Angstrom."""
        raise NotImplementedError

    def on_grid(self, spacing: float = 0.1, margin: float = 3.0) -> Grid:
        """Values on a uniform grid over the cell or around the molecule."""
        raise NotImplementedError

    def frame(self, spacing: float = 0.1, margin: float = 3.0) -> Grid:
        """Where the grid of :meth:`on_grid` lies: an empty one."""
        raise NotImplementedError

    def isosurface(self, isovalue: float, *, spacing: float = 0.15) -> Surface:
        """The surface of a value: mesh, area, volume; needs scikit-image.

        Parameters
        ----------
        isovalue
            e/Angstrom^3; of differences also negative.
        spacing
            Of the vertices, roughly: Angstrom. The vertices lie on the surface to 1e-6 of the
            value; area and volume converge with the square of the spacing.

        Raises
        ------
        ValueError
            The value does not occur.
        """
        return isosurface(self, isovalue, spacing=spacing)

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        plane: Plane | str | Sequence[int] | None = None,
        normal: Sequence[float] | None = None,
        margin: float = 2.0,
        points: int = 300,
        limit: float | None = None,
        title: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the values on a plane; needs matplotlib (``ase-rholearn[view]``).

        Densities are drawn on a logarithmic scale; differences blue where positive, orange and
        with dashed contours where negative.

        Parameters
        ----------
        path
            Picture file to write. Left out: only draw.
        plane
            Indices of the atoms in whose best plane to cut; ``"xy"``, ``"xz"`` or ``"yz"``
            through the middle of all nuclei; or a
            :class:`~ase_rholearn.density.pictures.plane.Plane`. Left out: the best plane of
            all atoms.
        normal
            Direction of view, instead of the best one for these atoms.
        margin
            Space around the outermost of these nuclei, Angstrom.
        points
            Resolution along the longer side.
        limit
            End of the colour scale, e/Angstrom^3.
        title
            Above the picture.
        ax
            matplotlib axes to draw on; a new figure if left out.

        Returns
        -------
        matplotlib.axes.Axes
        """
        cut = find_plane(self.atoms, plane, normal, margin)
        ax = draw(self.evaluate, self.atoms, cut, self._signed, points, limit, title, ax)
        return saved(ax, path)

    def plot_isosurface(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        isovalue: float | None = None,
        normal: Sequence[float] | None = None,
        opacity: float = 0.55,
        pixels: int = 800,
        title: str = "",
        ax: Axes | None = None,
    ) -> Axes:
        """Draw a surface of one value and the structure; needs ``ase-rholearn[view]``.

        Differences have two surfaces, blue where positive and orange where negative. Periodic
        structures are drawn in one cell, at whose ends surfaces are cut.

        Parameters
        ----------
        path
            Picture file to write. Left out: only draw.
        isovalue
            e/Angstrom^3. Left out: 0.3 for densities, chosen from the values for differences.
        normal
            Direction from which to look, instead of one that suits the structure.
        opacity
            Of the surface, 1 at most.
        pixels
            Along the longer side.
        title
            Above the picture.
        ax
            matplotlib axes to draw on; a new figure if left out.

        Returns
        -------
        matplotlib.axes.Axes
        """
        ax = draw_isosurface(self, isovalue, normal, opacity, pixels, title, ax)
        return saved(ax, path)

    def view(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        others: Mapping[str, Drawable | Field] | None = None,
        isovalue: float | None = None,
        spacing: float | None = None,
        margin: float = 2.5,
        title: str = "",
    ) -> View:
        """Isosurfaces on a page that works offline, in any browser or inline in a notebook.

        The page has everything in it: values on a grid, the structure, and a script that draws
        surfaces at the isovalue of a slider (WebGL 2). Differences have two surfaces, blue
        where positive and orange where negative.

        Parameters
        ----------
        path
            HTML file to write. Left out: only return the page.
        others
            What to switch to, by name: densities, differences, or a
            :class:`~ase_rholearn.density.pictures.viewer.Field`, such as the potential on a
            surface from :func:`~ase_rholearn.density.pictures.viewer.potential_field`.
        isovalue
            Where the slider begins, e/Angstrom^3.
        spacing
            Of the grid, Angstrom. Left out: a quarter of a million points or less.
        margin
            Space around a molecule, Angstrom.
        title
            Left out: the chemical formula.

        Returns
        -------
        ase_rholearn.density.pictures.viewer.View
            Notebooks show it.
        """
        from .viewer import Field, view

        if isovalue is not None:
            check_isovalue(isovalue, positive=True)
        fields = {self._name: self.field(isovalue, spacing, margin)}
        for name, other in (others or {}).items():
            if isinstance(other, Field):
                fields[name] = other
            else:
                fields[name] = other.field(None, spacing, margin)
        page = view(self.atoms, fields, title=title)
        if path is not None:
            page.write(path)
        return page

    def field(
        self, isovalue: float | None = None, spacing: float | None = None, margin: float = 2.5
    ) -> Field:
        """Values on a grid for the viewer, see :meth:`view`."""
        from .viewer import Field, view_spacing

        if spacing is None:
            box = self.frame(1.0, margin).cell
            spacing = view_spacing(abs(float(np.linalg.det(box))))
        if isovalue is None and not self._signed:
            isovalue = ISOVALUE
        return Field(self.on_grid(spacing, margin), signed=self._signed, isovalue=isovalue)


def saved(ax: Axes, path: str | os.PathLike[str] | None) -> Axes:
    """Write the figure of axes to a file, if there is one to write."""
    if path is not None:
        ax.figure.savefig(path, dpi=_RESOLUTION)  # type: ignore[union-attr]
    return ax
