"""Entry point by which ASE finds the calculator, where its version looks for plugins."""

from __future__ import annotations

try:
    from ase._4.plugins.plugin import CalculatorPlugin
except ImportError:  # ASE before 3.29
    __ase_plugins__ = set()
else:
    __ase_plugins__ = {
        CalculatorPlugin(
            name="rho", implementation="ase_rholearn.calculator.RhoCalculator", citation=""
        )
    }
