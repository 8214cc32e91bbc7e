"""Formulas as MathML, written when the site is built.

Browsers draw MathML by themselves, with the fonts that they have: no script, no font file and no picture of a formula
belongs to the site, it works from a folder without a network, and a reader's text size and dark colours apply.
"""

import re
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert
from sphinx.application import Sphinx
from sphinx.util import logging

LOGGER = logging.getLogger(__name__)
# What latex2mathml does not know, in words that it knows.
REWRITTEN = {
    r"\tfrac": r"\frac",
    r"\dfrac": r"\frac",
    r"\lVert": r"\|",
    r"\rVert": r"\|",
    r"\lvert": "|",
    r"\rvert": "|",
    r"\arg": r"\operatorname{arg}",
    r"\mathsf T": r"\top",
    r"\mathsf{T}": r"\top",
}


def mathml(latex: str, display: bool) -> str:
    """Return a formula as MathML.

    Raises:
        ValueError: when a command of the formula is unknown, which would stand in the page as it was typed.
    """
    for known, written in REWRITTEN.items():
        latex = re.sub(re.escape(known) + r"(?![A-Za-z])", lambda _, w=written: w, latex)
    made = convert(latex, display="block" if display else "inline")
    if unknown := re.findall(r"\\[A-Za-z]+", made):
        raise ValueError(f"{', '.join(unknown)} is not known to latex2mathml")
    return made


def _write(self: Any, node: Any, display: bool) -> None:
    try:
        made = mathml(node.astext(), display)
    except Exception as error:  # the converter's own errors are of many kinds
        LOGGER.warning("formula %r: %s", node.astext(), error, location=node)
        made = self.encode(node.astext())
    self.body.append(f'<div class="math">{made}</div>' if display else made)
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Let Sphinx write formulas by this module."""
    app.add_html_math_renderer(
        "mathml",
        (lambda self, node: _write(self, node, False), None),
        (lambda self, node: _write(self, node, True), None),
    )
    return {"parallel_read_safe": True, "parallel_write_safe": True}
