"""Infrared spectra from dipole moments along molecular dynamics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ase import units
from scipy import constants


@dataclass(frozen=True)
class InfraredSpectrum:
    """An absorption spectrum.

    Attributes
    ----------
    wavenumbers
        Shape (n,), 1/cm.
    absorption
        Molar absorption coefficient (natural logarithm) of the whole system: shape (n,),
        km/mol cm. Its integral over wavenumbers is an intensity in km/mol, as quantum
        chemistry programs print it.
    """

    wavenumbers: np.ndarray
    absorption: np.ndarray


def infrared_spectrum(
    dipoles: Any, timestep: float, *, temperature: float = 300.0, resolution: float = 20.0
) -> InfraredSpectrum:
    r"""Infrared spectrum from the dipole moments of a trajectory.

    The Fourier transform of the autocorrelation of the dipole's time derivative,

    .. math:: \epsilon(\omega) = \frac{N_A}{6 \epsilon_0 c k_B T}
        \int \langle \dot\mu(0) \dot\mu(t) \rangle e^{-i \omega t} dt

    which is the classical spectrum with the harmonic quantum correction factor
    beta hbar omega / (1 - exp(-beta hbar omega)) (R. Ramirez, T. Lopez-Ciudad, P. Kumar and
    D. Marx, J. Chem. Phys. 121, 3973 (2004)): intensities of harmonic vibrations come out as
    their quantum values. By the theorem of Wiener and Khinchin the transform is a power
    spectrum, averaged over overlapping windows of Hann (P. D. Welch, IEEE Trans. Audio
    Electroacoust. 15, 70 (1967)). The derivative is exact up to the highest frequency.

    Nothing shifts the frequencies: they are those of classical nuclei, and of the
    integrator's time step.

    Parameters
    ----------
    dipoles
        At equal times: shape (n, 3), e Angstrom. Of a molecule or cluster; of a liquid the
        sums of its molecules' dipoles, see
        :func:`~ase_rholearn.density.charges.molecular_dipoles`.
    timestep
        Between them, in ASE's units (``2 * units.fs``).
    temperature
        Of the dynamics, K.
    resolution
        Width of lines at half of their height, 1/cm. It takes a trajectory of at least
        some 50 ps / resolution.

    Returns
    -------
    InfraredSpectrum
        Up to half of the sampling frequency.

    Examples
    --------
    >>> times = 2 * units.fs * np.arange(4000)
    >>> period = 10 * units.fs  # 3336 wavenumbers
    >>> spectrum = infrared_spectrum(np.outer(np.sin(2 * np.pi * times / period), [0, 0, 1]),
    ...                              2 * units.fs)
    >>> bool(abs(spectrum.wavenumbers[spectrum.absorption.argmax()] - 3336) < 10)
    True
    """
    from scipy.signal import welch  # slow to import

    dipoles = _checked(dipoles)
    for name, value in (
        ("timestep", timestep),
        ("temperature", temperature),
        ("resolution", resolution),
    ):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name} is {value}: give a positive number")
    step = timestep / units.s
    rates = np.diff(dipoles, axis=0) / step * (constants.e * 1e-10)  # C m / s
    # the spectrum of a Hann window is 1.44 / length wide at half height
    length = int(np.ceil(1.44 / (resolution * 100 * constants.c * step)))
    if length > len(rates):
        needed = (length + 1) * timestep / units.fs
        raise ValueError(
            f"resolution is {resolution} 1/cm, which needs {needed:.0f} fs of dynamics, but "
            f"dipoles cover {len(dipoles) * timestep / units.fs:.0f} fs: give a larger resolution"
        )
    frequencies, power = welch(rates, 1 / step, window="hann", nperseg=length, axis=0)
    # a finite difference damps high frequencies by a known factor
    power = power.sum(axis=1) / np.sinc(frequencies * step) ** 2
    # welch puts both signs of the frequency into one
    scale = constants.N_A / (12 * constants.epsilon_0 * constants.c * constants.k * temperature)
    return InfraredSpectrum(frequencies / (100 * constants.c), power * scale / 10)


def _checked(dipoles: Any) -> np.ndarray:
    dipoles = np.asarray(dipoles, dtype=float)
    if dipoles.ndim != 2 or dipoles.shape[1] != 3:
        raise ValueError(f"dipoles has shape {dipoles.shape}: give (n, 3) in e Angstrom")
    if not np.isfinite(dipoles).all():
        raise ValueError("dipoles contains NaN or infinity: give finite values")
    return dipoles
