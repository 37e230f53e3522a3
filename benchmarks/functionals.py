"""Functionals by automatic differentiation against libxc, and what the taper costs; one thread.

    python benchmarks/functionals.py

1. Largest differences from libxc at 20,000 points with densities from 1e-6 to 1e3 e/bohr^3 and
   reduced gradients from 1e-3 to 30, as fractions of the larger of 1 and the number (of the
   largest part, where exchange and correlation cancel): energy per volume, first and second
   derivatives.
2. CPU time of energy and potential, and of the kernel, at these points; libxc's is 1.
3. What tapers change in the PBE energy (mHartree) of densities of the shipped water model, and
   of free atoms.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from ase import Atoms
from ase.build import molecule

from ase_rholearn import RhoCalculator
from ase_rholearn.scf.functionals import (
    Functional,
    Sum,
    Tapered,
    functional,
    kernel,
    local_energy,
    potential,
)


def seconds(work: Callable[[], Any]) -> float:
    """The least of three CPU times, after one that does not count."""
    times = []
    for _ in range(4):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return min(times[1:])


def points(n: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    rho, s = 10 ** rng.uniform(-6, 3, n), 10 ** rng.uniform(-3, 1.5, n)
    return rho, (2 * (3 * np.pi**2) ** (1 / 3) * rho ** (4 / 3) * s) ** 2


def numbers(one: Functional, rho: torch.Tensor, sigma: torch.Tensor) -> list[np.ndarray]:
    """Energy per volume, and derivatives in libxc's order."""
    first, second = potential(one, rho, sigma), kernel(one, rho, sigma)
    chosen = [first.energy_density, first.rho, first.sigma]
    chosen += [second.rho_rho, second.rho_sigma, second.sigma_sigma]
    kept = range(6) if one.needs_gradient else (0, 1, 3)
    return [chosen[k].numpy() for k in kept]


def compare() -> None:
    from pyscf.dft import libxc

    rho, sigma = points()
    rows = np.array([rho, np.sqrt(sigma), 0 * rho, 0 * rho])
    tensors = torch.tensor(rho), torch.tensor(sigma)
    print("                 energy    first   second    potential   kernel: CPU time, libxc = 1")
    for name in ("LDA,PW", "LDA,PW_MOD", "PBE", "PBESOL", "REVPBE", "RPBE", "LDA_K_TF", "GGA_K_VW"):
        one = functional(name)
        given = rows if one.needs_gradient else rho
        e, v, f, _ = libxc.eval_xc(name, given, spin=0, deriv=2)
        order = 1 + one.needs_gradient
        expected = [rho * e, *v[:order], *f[: 2 * order - 1]]
        found = numbers(one, *tensors)
        parts = [numbers(part, *tensors) for part in (one.parts if isinstance(one, Sum) else [one])]
        errors = []
        for k, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
            size = np.max([np.abs(part[k]) for part in parts], axis=0)
            errors.append(np.max(np.abs(ours - theirs) / np.maximum(1, size)))
        times = [
            seconds(lambda one=one: potential(one, *tensors))
            / seconds(lambda name=name, given=given: libxc.eval_xc(name, given, deriv=1)),
            seconds(lambda one=one: kernel(one, *tensors))
            / seconds(lambda name=name, given=given: libxc.eval_xc(name, given, deriv=2)),
        ]
        print(
            f"{name:14} {errors[0]:8.0e} {max(errors[1 : 1 + order]):8.0e} "
            f"{max(errors[1 + order :]):8.0e}  {times[0]:8.1f} {times[1]:8.1f}"
        )


def pair() -> Atoms:
    other = molecule("H2O")
    other.translate([0, 0, 2.9])
    return molecule("H2O") + other


def taper() -> None:
    calculator = RhoCalculator("water-pbe")
    print("taper below, e/bohr^3    1e-6    1e-5    1e-4   (mHartree)")
    for label, atoms in (("water", molecule("H2O")), ("two waters", pair())):
        rho = calculator.get_density(atoms, normalize=False)
        for what, c in (("", rho.coefficients), (", free atoms", 0 * rho.coefficients)):
            whole, *tapered = (
                float(local_energy(atoms, rho.basis, one, level=3)(torch.tensor(c)))
                for one in (
                    functional("PBE"),
                    *(Tapered(functional("PBE"), below) for below in (1e-6, 1e-5, 1e-4)),
                )
            )
            changes = "".join(f"{1e3 * (one - whole):8.4f}" for one in tapered)
            print(f"{label + what:22}{changes}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    compare()
    taper()


if __name__ == "__main__":
    main()
