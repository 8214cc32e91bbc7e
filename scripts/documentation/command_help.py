"""The directive `{command-help}`: what `gantools COMMAND --help` prints, for each command."""

import contextlib
import io
import os
from unittest import mock

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gantools.cli import main

WIDTH = "92"  # characters; the page scrolls beyond


def help_of(command: str) -> str:
    """Return what a command says of itself, without colours."""
    stream = io.StringIO()
    plain = {"COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    with mock.patch.dict(os.environ, plain), contextlib.redirect_stdout(stream), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


class CommandHelp(SphinxDirective):
    """A section for each command that its content names."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = []
        for command in " ".join(self.content).split():
            text += [f"## gantools {command}", "", "````{code-block} none", *help_of(command).splitlines(), "````", ""]
        node = nodes.container()
        self.state.nested_parse(StringList(text, source=self.env.docname), self.content_offset, node, match_titles=True)
        return node.children


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("command-help", CommandHelp)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
