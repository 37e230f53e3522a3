"""Places and intensities of infrared bands."""

from __future__ import annotations

import numpy as np
import pytest
from ase import units
from scipy.integrate import trapezoid

from ase_rholearn.trajectory import infrared_spectrum

#: Intensity in km/mol of a harmonic vibration whose dipole moment changes by 1 D for a
#: displacement of 1 Angstrom of a mass of 1 u: N_A / (12 epsilon_0 c^2).
KM_MOL = 42.2561


def oscillator(wavenumber: float, step: float, temperature: float, seed: int = 0) -> np.ndarray:
    """Dipole moment of a unit charge of 1 u on a spring, at its mean classical energy: x only."""
    omega = 2 * np.pi * wavenumber * units._c * 100 / units.s
    amplitude = np.sqrt(2 * units.kB * temperature) / omega
    times = step * np.arange(20000)
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi)
    return np.outer(amplitude * np.cos(omega * times + phase), [1.0, 0.0, 0.0])


@pytest.mark.parametrize("wavenumber", [400.0, 1650.0, 3700.0])
@pytest.mark.parametrize("step", [0.5, 2.0])
def test_a_harmonic_vibration_has_its_quantum_intensity(wavenumber, step):
    """At any temperature and time step: the correction factor and the derivative are exact."""
    step *= units.fs
    dipoles = oscillator(wavenumber, step, temperature=250.0) + np.array([0.0, 2.0, 0.0])
    spectrum = infrared_spectrum(dipoles, step, temperature=250.0, resolution=20.0)
    place = spectrum.wavenumbers[spectrum.absorption.argmax()]
    assert place == pytest.approx(wavenumber, abs=10)
    area = trapezoid(spectrum.absorption, spectrum.wavenumbers)
    assert area == pytest.approx(KM_MOL / units.Debye**2, rel=0.01)


def test_the_resolution_is_the_width_of_a_line():
    spectrum = infrared_spectrum(oscillator(2000.0, units.fs, 300.0), units.fs, resolution=40.0)
    above = spectrum.wavenumbers[spectrum.absorption > spectrum.absorption.max() / 2]
    assert np.ptp(above) == pytest.approx(40.0, abs=2 * np.diff(spectrum.wavenumbers)[0])


@pytest.mark.parametrize(
    ("dipoles", "step", "options", "message"),
    [
        (np.zeros((100, 2)), 1.0, {}, r"dipoles has shape \(100, 2\)"),
        (np.full((100, 3), np.nan), 1.0, {}, "dipoles contains NaN"),
        (np.zeros((100, 3)), 0.0, {}, "timestep is 0.0"),
        (np.zeros((100, 3)), 1.0, {"temperature": -3}, "temperature is -3"),
        (np.zeros((100, 3)), 1.0, {"resolution": 1.0}, "dipoles cover .* give a larger"),
    ],
)
def test_mistakes(dipoles, step, options, message):
    with pytest.raises(ValueError, match=message):
        infrared_spectrum(dipoles, step, **options)
