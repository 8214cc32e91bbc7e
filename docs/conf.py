"""The site: `make docs`. Everything that it loads is in the built folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts" / "documentation"))

import gantools

project = "gantools"
author = "The gantools developers"
copyright = "The gantools developers, MIT"
version = release = gantools.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "mathml",
    "docstrings",
    "api_directive",
    "command_help",
    "benchmark_history",
    "repository_pages",
]
source_suffix = {".md": "markdown"}
root_doc = "index"
exclude_patterns = ["_static"]
suppress_warnings = ["myst.header"]  # README's sections begin one level lower

smartquotes = False  # which sets the two hyphens of a flag as one dash
myst_enable_extensions = ["dollarmath", "colon_fence", "attrs_inline"]
myst_heading_anchors = 4
myst_links_external_new_tab = False

autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False

nitpicky = True
# Types in signatures that have no entry of their own.
INNER = (
    "Described|Effort|Optimizer|Experiment|FieldValue|Frame|Likelihood|LoaderBatches|Parts|Place|ProbedSpectrum|Real|Record|Rule|Subject|SummaryWriter|T"
    "|TrainConfig"
)
# Names of other libraries, whose own pages are not in the folder, and type aliases.
nitpick_ignore_regex = [
    (r"py:.*", r"(?!gantools\.).*"),
    (r"py:.*", rf"gantools\..*\.({INNER})"),
]

html_theme = "furo"
html_title = "gantools"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_math_renderer = "mathml"
html_show_sphinx = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
