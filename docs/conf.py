"""How Sphinx builds these pages: ``sphinx-build -W --keep-going docs docs/_build``."""

import dasksor

project = "dasksor"
author = "the dasksor authors"
release = version = dasksor.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_click",
]
exclude_patterns = ["_build"]
# Names of parameters in single backticks stand beside names of functions: link what there is.
default_role = "autolink"
nitpicky = True

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"dasksor {release}"
html_copy_source = False
