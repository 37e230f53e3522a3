"""Potentials, fields and Coulomb energies."""
