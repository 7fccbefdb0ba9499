"""How Sphinx builds these pages: ``sphinx-build -W --keep-going docs docs/_build``."""

from docutils import nodes
from latex2mathml.converter import convert

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
# Options are --spelt with two hyphens.
smartquotes = False

myst_heading_anchors = 3
myst_enable_extensions = ["dollarmath"]

autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False

html_theme = "furo"
html_title = f"dasksor {release}"
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["formulas.css"]
html_math_renderer = "mathml"


def inline_formula(writer, node):
    writer.body.append(convert(node.astext()))
    raise nodes.SkipNode


def formula(writer, node):
    writer.body.append(convert(node.astext(), display="block"))
    raise nodes.SkipNode


def setup(app):
    # Browsers show MathML by themselves, so the pages need no script from a network.
    app.add_html_math_renderer("mathml", (inline_formula, None), (formula, None))
