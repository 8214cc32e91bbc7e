"""Run the code that stands on a page of the documentation, as a reader would who types it from top to bottom.

python scripts/documentation/pages.py docs/tutorials/diagnosis.md --out docs/tutorials

Blocks in ```python are run one after another in one namespace. What a page takes for granted stands before them in a
comment, `<!-- given`, which no reader sees. A block in ```text that follows one in ```python is what that prints; one
in ```text varies is an example of it, where a clock or a machine decides the words. Files that the code writes, its
pictures, are left in the folder of `--out`.
"""

import argparse
import contextlib
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

BLOCK = re.compile(
    r"^(?P<fence>`{3,})(?P<language>\S*)(?P<note>[^\n]*)\n(?P<code>.*?)^(?P=fence)$|^<!-- given\n(?P<given>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        language: as written after the fence, or "given" of a comment.
        code: its text.
        line: of the page on which the text begins.
        varies: whether it is marked as an example of what is printed.
    """

    language: str
    code: str
    line: int
    varies: bool = False

    @property
    def runs(self) -> bool:
        """Whether it is code of Python."""
        return self.language in ("python", "given")


def blocks(text: str) -> list[Block]:
    """Return the blocks of a page, in order."""
    found = []
    for match in BLOCK.finditer(text):
        group = "given" if match["given"] is not None else "code"
        line = text.count("\n", 0, match.start(group)) + 1
        language = "given" if group == "given" else match["language"]
        found.append(Block(language, match[group], line, varies=(match["note"] or "").strip() == "varies"))
    return found


def run(page: Path) -> Iterator[tuple[Block, str]]:
    """Run a page's blocks in the present folder; yield each that follows and prints, with what the one before printed.

    An error names the page and its line.
    """
    names: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.runs:
            stream = io.StringIO()
            with contextlib.redirect_stdout(stream):
                exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)
            printed = stream.getvalue()
        elif block.language == "text" and printed:
            yield block, printed
            printed = ""


def words(text: str) -> list[str]:
    """Return the words of an output without its numbers, whose last digits differ between machines."""
    return re.findall(r"[A-Za-z_]{2,}", text)


def numbers(text: str) -> list[float]:
    """Return the numbers of an output, in order."""
    return [float(x) for x in re.findall(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e[+-]?\d+)?", text)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    matplotlib.use("Agg")
    args.out.mkdir(parents=True, exist_ok=True)
    page = args.page.resolve()
    os.chdir(args.out)
    for block, printed in run(page):
        print(f"--- line {block.line} shows:\n{block.code}--- printed:\n{printed}")


if __name__ == "__main__":
    main()
