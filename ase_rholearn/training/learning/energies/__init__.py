"""Energies as a further target: samples, closed form, and the stage of a run."""
