"""Size of the viewer's page, and how long Chromium takes from opening it to the first picture.

    python benchmarks/viewer_load.py

Benzene: a density, its deformation, and the potential on a surface. Bars: below 5 MB, in less
than 2 s (software rendering, no graphics card).
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from ase.build import molecule
from esp_accuracy import fitted

from ase_rholearn.density.pictures.viewer import potential_field


def load_time(page: Path, folder: Path) -> int:
    """Milliseconds until the page's script has drawn."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        raise SystemExit("chromium is not installed")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader"]
    profile = f"--user-data-dir={folder / 'profile'}"
    command = [browser, *options, profile, "--timeout=60000", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = re.search(r'data-ready="(\d+)"', done.stdout)
    if found is None:
        raise RuntimeError("the page did not finish")
    return int(found[1])


def main() -> None:
    rho, _ = fitted(molecule("C6H6"))
    others = {"deformation": rho - rho.free_atoms(), "potential": potential_field(rho)}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        page = folder / "benzene.html"
        rho.view(page, others=others)
        times = [load_time(page, folder) for _ in range(4)][1:]  # the first makes the profile
        print(f"size       {page.stat().st_size / 1e6:.2f} MB")
        print(f"load       {min(times)} ms, best of {len(times)}")


if __name__ == "__main__":
    main()
