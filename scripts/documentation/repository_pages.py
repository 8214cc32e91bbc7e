"""Parts of README and of other files beside it as pages of the site, so that nothing is written twice.

A line `<!-- from README.md ## First day -->` in a page stands for that section, without its heading, and one without a
heading for the whole file. Links, which lead from the file's own folder, are made to lead from the page.
"""

import os
import re
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
FROM = re.compile(r"^<!-- from (?P<file>\S+)(?: (?P<heading>#+ .+?))? -->$", re.MULTILINE)
LINK = re.compile(r"(?P<before>\]\()(?P<target>[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")
# Files and folders that a page of the site shows.
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changelog.md",
    "SECURITY.md": "project/security.md",
    "TODO.md": "project/todo.md",
    "examples": "project/examples.md",
    "examples/loops": "project/examples.md",
}


def section(file: str, heading: str | None) -> str:
    """Return a file's text, or that of one section up to the next heading of its level.

    Raises:
        ValueError: when the file has no such heading.
    """
    text = (ROOT / file).read_text(encoding="utf-8")
    if heading is None:
        return text
    level, inside = len(heading.split()[0]), False
    found: list[str] | None = None
    for line in text.splitlines(keepends=True):
        if line.startswith("```"):
            inside = not inside
        above = not inside and re.match(r"#+ ", line)  # in a block of code `#` begins a comment
        if found is not None and above and len(line.split()[0]) <= level:
            break
        if found is not None:
            found.append(line)
        elif above and line.rstrip() == heading:
            found = []
    if found is None:
        raise ValueError(f"{file} has no heading {heading!r}")
    return "".join(found).strip() + "\n"


def relinked(text: str, file: str, page: str) -> str:
    """Return text with links from a file's folder made to lead from a page (both relative: to root, to docs)."""

    def moved(link: re.Match[str]) -> str:
        target = link["target"]
        if "://" in target or target.startswith("mailto:"):
            return link[0]
        path = os.path.normpath(os.path.join(os.path.dirname(file), target))
        goal = DOCS / PAGES[path] if path in PAGES else ROOT / path
        return f"{link['before']}{os.path.relpath(goal, (DOCS / page).parent)}{link['anchor'] or ''})"

    return LINK.sub(moved, text)


def expanded(text: str, page: str) -> str:
    """Return a page's text with what it takes from files put in, and its links to files that are pages too."""
    text = relinked(text, f"docs/{page}", page)
    return FROM.sub(lambda m: relinked(section(m["file"], m["heading"]), m["file"], page), text)


def read(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = expanded(source[0], f"{docname}.md")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
