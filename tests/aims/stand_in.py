"""A program that reads and writes FHI-aims' files, with numbers that mean nothing.

It stands in for FHI-aims, which is licensed. AIMS_STAND_IN, JSON, says how it behaves: its
"version", "fail": how runs whose directory has no file ``.failed`` end, and "spoil": a file of
the fit, and what its third line becomes.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from pathlib import Path

COUNTS = {"O": (3, 2, 1), "H": (2, 1), "C": (3, 2, 1), "Si": (2, 1)}
ELECTRONS = {"O": 8, "H": 1, "C": 6, "Si": 14}
HARTREE = 27.2113845


def main() -> None:
    options = json.loads(os.environ.get("AIMS_STAND_IN", "{}"))
    version = str(options.get("version", 240925))
    keywords, species = read_control()
    labels, positions = read_geometry()
    for label in labels:
        if label not in species:
            sys.exit(f"species {label} is not defined in control.in")
    say("          Invoking FHI-aims ...\n")
    say(f"  FHI-aims version      : {version}")
    say(f"  | Number of atoms                   : {len(labels):8d}")
    electrons = sum(ELECTRONS[label.split("_")[0]] for label in labels)
    electrons -= int(keywords.get("charge", ["0"])[0])
    say(
        f"  The structure contains {len(labels):8d} atoms,  and a total of {electrons:14.3f} "
        "electrons."
    )
    fail = options.get("fail")
    if fail and Path(".failed").exists():
        fail = None
    if fail:
        Path(".failed").touch()
    if fail == "crash":
        sys.exit("*** out of memory")
    if fail == "hang":
        sys.stdout.flush()
        time.sleep(1000)
    restart = keywords.get("ri_density_restart", [""])
    if restart[0] == "read":
        cycles, energy = 0, rebuild(keywords, labels, int(version))
    else:
        cycles, energy = self_consistency(keywords, positions)
    if restart[0] == "write":
        cycles = 0 if keywords.get("ri_skip_scf") == [".true."] else cycles
        fit(keywords, labels, positions, int(version), options.get("spoil"))
    if fail == "unconverged":
        say("  WARNING! SELF-CONSISTENCY CYCLE DID NOT CONVERGE\n")
    results(cycles, energy, positions, converged=fail != "unconverged")
    if fail != "truncated":
        say("          Leaving FHI-aims.")
        say(f"          | Number of self-consistency cycles          : {cycles:12d}")
        say("\n          Have a nice day.")


def say(text: str) -> None:
    print(text)


def read_control() -> tuple[dict[str, list[str]], set[str]]:
    keywords: dict[str, list[str]] = {}
    species: set[str] = set()
    for line in Path("control.in").read_text().splitlines():
        words = line.split("#")[0].split()
        if words[:1] == ["species"]:
            species.add(words[1])
        elif words and not species:
            keywords.setdefault(words[0], words[1:])
    return keywords, species


def read_geometry() -> tuple[list[str], list[list[float]]]:
    lines = [line.split() for line in Path("geometry.in").read_text().splitlines()]
    atoms = [words for words in lines if words[:1] == ["atom"]]
    return [words[4] for words in atoms], [[float(x) for x in words[1:4]] for words in atoms]


def counts_of(label: str, keywords: dict[str, list[str]]) -> tuple[int, ...]:
    counts = COUNTS[label.split("_")[0]]
    loose = float(keywords.get("default_prodbas_acc", ["1e-4"])[0]) > 1e-4
    return (counts[0] - 1, *counts[1:]) if loose else counts


def self_consistency(
    keywords: dict[str, list[str]], positions: list[list[float]]
) -> tuple[int, float]:
    restart = keywords.get("elsi_restart", [""])[0]
    there = Path("D_spin_01_kpt_000001.csc")
    if restart == "read" and not there.exists():
        sys.exit("*** there is no density matrix")
    cycles = 5 if restart == "read" else 12
    if restart in ("write", "read_and_write"):
        there.write_text("density matrix\n")
    if "output" in keywords:
        Path("eigenstate_info.out").write_text(" 1 1 1 1 1.0 2.0 -10.5\n 2 2 1 1 1.0 0.0 1.5\n")
    return cycles, -2000.0 + math.fsum(x for p in positions for x in p)


def functions(keywords: dict[str, list[str]], labels: list[str]) -> list[tuple[int, int]]:
    """l and m of all product functions, in the standard order."""
    return [
        (l, m)
        for label in labels
        for l, count in enumerate(counts_of(label, keywords))
        for _ in range(count)
        for m in range(-l, l + 1)
    ]


def native(
    values: list[float], labels: list[tuple[int, int]], version: int, write: bool
) -> list[float]:
    """To the order of a version: before 240403 the reverse one, odd m > 0 with another sign."""
    if version >= 240403:
        return values
    signed = [-v if m > 0 and m % 2 else v for v, (_, m) in zip(values, labels, strict=True)]
    if write:
        return signed[::-1]
    back = values[::-1]
    return [-v if m > 0 and m % 2 else v for v, (_, m) in zip(back, labels, strict=True)]


def write_basis(keywords: dict[str, list[str]], labels: list[str], version: int) -> None:
    with Path("basis_info.out").open("w") as stream:
        for atom, label in enumerate(labels, 1):
            counts = counts_of(label, keywords)
            stream.write(f" atom {atom:11d}\n")
            for l, n in enumerate(counts):
                stream.write(f" For L = {l:12d} there are {n:11d} radial functions\n")
            stream.write(f" For atom {atom:12d} max L = {len(counts) - 1:12d}\n")
    if version < 240403:
        found = functions(keywords, labels)
        size = len(found)
        Path("idx_prodbas.out").write_text("".join(f"{size - k}\n" for k in range(size)))
        flips = sorted(size - k for k, (_, m) in enumerate(found) if m > 0 and m % 2)
        Path("prodbas_condon_shotley_list.out").write_text("".join(f"{f}\n" for f in flips))


def fit(
    keywords: dict[str, list[str]],
    labels: list[str],
    positions: list[list[float]],
    version: int,
    spoil: list[str] | None,
) -> None:
    found = functions(keywords, labels)
    size = len(found)
    shift = math.fsum(x for p in positions for x in p)
    c = [math.sin(k + shift) for k in range(size)]
    # S = 2 + 0.5 between neighbours
    w = [
        2 * c[k] + 0.5 * (c[k - 1] if k else 0) + 0.5 * (c[k + 1] if k + 1 < size else 0)
        for k in range(size)
    ]
    # reversed and with these signs, the matrix of early versions is not the same
    sign = [-1 if version < 240403 and m > 0 and m % 2 else 1 for _, m in found]
    if version < 240403:
        sign = sign[::-1]
    write_basis(keywords, labels, version)
    write_numbers("ri_restart_coeffs.out", native(c, found, version, True))
    write_numbers("ri_projections.out", native(w, found, version, True))
    write_numbers(
        "ri_ovlp.out",
        [
            sign[i] * sign[j] * (2.0 if i == j else 0.5 if j == i + 1 else 0.0)
            for i in range(size)
            for j in range(i, size)
        ],
    )
    if spoil:
        name, text = spoil
        lines = Path(name).read_text().splitlines(keepends=True)
        Path(name).write_text("".join([*lines[:2], f" {text}\n", *lines[3:]]))
    write_grid()


def rebuild(keywords: dict[str, list[str]], labels: list[str], version: int) -> float:
    found = functions(keywords, labels)
    c = [float(line) for line in Path("ri_restart_coeffs.out").read_text().split()]
    if len(c) != len(found):
        sys.exit(f"*** {len(c)} coefficients for {len(found)} functions")
    if keywords.get("ri_full_output") == [".true."]:
        write_basis(keywords, labels, version)
        write_grid()
    if keywords.get("elsi_restart", [""])[0] == "write":
        Path("D_spin_01_kpt_000001.csc").write_text("density matrix\n")
    return -2000.0 + math.fsum(k * v for k, v in enumerate(native(c, found, version, False)))


def write_grid() -> None:
    points = [(0.1 * k, 0.2, -0.3) for k in range(5)]
    for name, value in (
        ("rho_scf.out", lambda k: 1.0 + k),
        ("rho_rebuilt_ri.out", lambda k: 1.01 * (1.0 + k)),
        ("partition_tab.out", lambda k: 2.0),
    ):
        Path(name).write_text(
            "".join(
                f" {x:.6f} {y:.6f} {z:.6f} {value(k):.12e}\n" for k, (x, y, z) in enumerate(points)
            )
        )


def write_numbers(name: str, values: list[float]) -> None:
    Path(name).write_text("".join(f"  {v:.17E}\n" for v in values))


def results(cycles: int, energy: float, positions: list[list[float]], *, converged: bool) -> None:
    for step in range(1, cycles + 1):
        say(f"          Begin self-consistency iteration # {step:4d}")
    say("  | Chemical potential (Fermi level):    -5.25000000 eV")
    say("  Writing Kohn-Sham eigenvalues.\n")
    say("  State    Occupation    Eigenvalue [Ha]    Eigenvalue [eV]")
    say(f"      1       2.00000 {-10.5 / HARTREE:18.6f} {-10.5:18.5f}")
    say(f"      2       0.00000 {1.5 / HARTREE:18.6f} {1.5:18.5f}\n")
    say("  Highest occupied state (VBM) at    -10.50000000 eV")
    say("  Lowest unoccupied state (CBM) at     1.50000000 eV")
    say("  Overall HOMO-LUMO gap:     12.00000000 eV.\n")
    if converged:
        say("  Self-consistency cycle converged.\n")
    say("  Energy and forces in a compact form:")
    say(f"  | Total energy uncorrected      : {energy:29.15E} eV")
    say(f"  | Total energy corrected        : {energy:29.15E} eV")
    say(f"  | Electronic free energy        : {energy:29.15E} eV")
    if cycles:
        say("  Total atomic forces (unitary forces cleaned) [eV/Ang]:")
        for k, p in enumerate(positions, 1):
            say(f"  | {k:4d} " + " ".join(f"{0.1 * x:29.15E}" for x in p))
        say("")
    say(f"  | Total energy of the DFT / Hartree-Fock s.c.f. calculation : {energy:20.9f} eV")


if __name__ == "__main__":
    main()
