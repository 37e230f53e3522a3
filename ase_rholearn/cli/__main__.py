"""``python -m ase_rholearn.cli``."""

from . import main

if __name__ == "__main__":
    main()
