"""Settings of Sphinx: ``make docs``."""

import importlib.metadata
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "ase_rholearn"
version = release = importlib.metadata.version("ase-rholearn")
copyright = "the ase_rholearn developers"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "formulas",
    "navigation",
    "reference",
]
exclude_patterns = ["extensions"]

# headings are targets of links as on a git host: [text](page.md#heading)
myst_heading_anchors = 3
# formulas are written in plain text, so that pages can be read without being built
myst_enable_extensions: list[str] = []

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_inherit_docstrings = False
autosummary_generate = False
napoleon_google_docstring = False
napoleon_use_ivar = True
python_maximum_signature_line_length = 88
add_module_names = False

# numpy's "Attributes" make links to names such as r, which several classes have
suppress_warnings = ["ref.python"]

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"ase_rholearn {version}"
html_show_sphinx = False
html_copy_source = False
