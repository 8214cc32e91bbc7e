"""Docstrings as the house writes them, for Sphinx: formulas between dollars, code between single backticks.

What autodoc reads is reStructuredText, in which stars, bars and underscores at the ends of words mean something; here
they stand for themselves.
"""

import dataclasses
import re
from typing import Any

from sphinx.application import Sphinx

# Examples, formulas and code, in which nothing may change, before all else.
PIECES = re.compile(
    r"(?P<example>^ *>>> .*?(?=\n *\n|\Z))"
    r"|(?P<display>\$\$(?P<block>.+?)\$\$)"
    r"|``(?P<literal>[^`]+)``"
    r"|`(?P<code>[^`]+)`"
    r"|(?<![\w$\\])\$(?P<inline>[^\s$](?:[^$]*[^\s$])?)\$(?!\d)",
    re.DOTALL | re.MULTILINE,
)
SPECIAL = re.compile(r"[*|]|(?<=\w)_(?!\w)")


def rest(text: str) -> str:
    """Return a docstring's text as reStructuredText."""
    parts, end = [], 0
    for piece in PIECES.finditer(text):
        parts.append(_plain(text[end : piece.start()]))
        parts.append(_marked(piece, text))
        end = piece.end()
    parts.append(_plain(text[end:]))
    return "".join(parts)


def _plain(text: str) -> str:
    emphasis = re.split(r"(?<![\w*])(\*[A-Za-z][A-Za-z ]*\*)(?![\w*])", text)
    return "".join(part if i % 2 else SPECIAL.sub(r"\\\g<0>", part) for i, part in enumerate(emphasis))


def _marked(piece: re.Match[str], text: str) -> str:
    if piece["example"]:
        return piece[0]
    if piece["display"]:
        line = text[: piece.start()].rpartition("\n")[2]
        indent = re.match(r"\s*", line)[0]  # type: ignore[index]
        formula = " ".join(piece["block"].split())
        return f"\n\n{indent}.. math:: {formula}\n\n{indent}"
    if piece["inline"]:
        formula = " ".join(piece["inline"].split())
        return _role("math", formula, piece, text)
    code = " ".join((piece["literal"] or piece["code"]).split())
    return _role("code", code.replace("\\", "\\\\"), piece, text)


def _role(name: str, content: str, piece: re.Match[str], text: str) -> str:
    """Return a role; letters that touch it, as in the plural of a name, need an escaped space between."""
    before, after = text[: piece.start()][-1:], text[piece.end() :][:1]
    start = "\\ " if before and (before.isalnum() or before in "/*|-") else ""
    stop = "\\ " if after and (after.isalnum() or after in "/_*|-") else ""
    return f"{start}:{name}:`{content}`{stop}"


def settings(entry: Any) -> list[str]:
    """Return the lines of a section "Args" for the fields of a dataclass whose help texts are beside them."""
    if not dataclasses.is_dataclass(entry):
        return []
    helped = [field for field in dataclasses.fields(entry) if "help" in field.metadata]
    lines = [f"    {field.name}: {field.metadata['help']}{_default(field)}." for field in helped]
    return ["", "Args:", *lines] if lines else []


def _default(field: dataclasses.Field[Any]) -> str:
    value = field.default
    return f" (`{value!r}`)" if isinstance(value, int | float | str | tuple) else ""


def process(app: Sphinx, what: str, name: str, entry: Any, options: Any, lines: list[str]) -> None:
    """Rewrite a docstring before napoleon reads its sections."""
    if what == "class" and "Args:" not in lines:
        while lines and not lines[-1]:
            lines.pop()
        lines += settings(entry)
    lines[:] = rest("\n".join(lines)).splitlines()


def setup(app: Sphinx) -> dict[str, bool]:
    """Come before napoleon, which listens at priority 500."""
    app.connect("autodoc-process-docstring", process, priority=400)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
