"""How `make docs` builds these pages: Sphinx with furo; Markdown by MyST; the reference from the code itself.

Every warning is an error there: a link that leads nowhere, a name in the reference that does not exist.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
# The package beside these pages, the extensions, and the script that they read the settings with.
sys.path[:0] = [str(HERE.parent), str(HERE), str(HERE / "extensions")]

from gpt2simple._version import __version__  # noqa: E402

project = "gpt2simple"
release = __version__
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosectionlabel",
    "sphinx.ext.napoleon",
    "command_line",
    "docstrings",
    "repository",
]
exclude_patterns = ["_build"]
suppress_warnings = ["autosectionlabel.*"]  # two pages may have a heading in common; links name the page
nitpicky = True
smartquotes = False  # quotation marks in sentences are often those of code

myst_heading_anchors = 3  # links to headings are written as a repository browser understands them

autodoc_member_order = "bysource"
autosectionlabel_prefix_document = True
napoleon_numpy_docstring = False
python_maximum_signature_line_length = 100  # else a signature with forty settings is one line

html_theme = "furo"
html_title = f"gpt2simple {release}"
html_copy_source = False
html_show_copyright = False
