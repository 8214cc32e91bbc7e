"""The directive `{api} MODULE`: public names of a module, one a line, each by its docstring."""

import importlib
import inspect
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from gantools.registry import Registry

CLASS = """
```{{eval-rst}}
.. autoclass:: {name}
   :members:
```
"""
FUNCTION = """
```{{eval-rst}}
.. autofunction:: {name}
```
"""


def markdown(module: str, name: str) -> str:
    """Return the MyST text that documents one public name."""
    entry, full = getattr(importlib.import_module(module), name), f"{module}.{name}"
    if isinstance(entry, Registry):
        return registry(full, entry)
    if inspect.ismodule(entry):  # `gt.batches`, a module that is called: the function behind it
        return FUNCTION.format(name="gantools.data.loaders.batches")
    if isinstance(entry, type):
        return CLASS.format(name=full)
    if callable(entry):
        return FUNCTION.format(name=full)
    return f"```{{py:data}} {full}\n```\n"


def registry(full: str, entries: Registry[Any]) -> str:
    """Return the names of a registry, with the first line of each entry's docstring."""
    rows = "\n".join(f"- `{name}`: {entries.describe(name)}" for name in entries)
    return f"````{{py:data}} {full}\nWhat can be chosen by name as {entries.kind}.\n\n{rows}\n````\n"


class Api(SphinxDirective):
    """Documents the names of its content, which stand in the module of its argument."""

    has_content = True
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        names = " ".join(self.content).split()
        text = "\n".join(markdown(self.arguments[0], name) for name in names)
        node = nodes.container(classes=["api"])
        self.state.nested_parse(StringList(text.splitlines(), source=self.env.docname), self.content_offset, node)
        return node.children


def public_names() -> dict[str, str]:
    """Return the public name of what stands in modules inside: by the name in the module that defines it."""
    import gantools

    found = {}
    for module in ["gantools", *(f"gantools.{name}" for name in gantools.__all__)]:
        try:
            held = importlib.import_module(module)
        except ImportError:  # a class or a function
            continue
        for name in getattr(held, "__all__", []):
            entry = getattr(held, name)
            inner = getattr(entry, "__module__", None)
            if inner and hasattr(entry, "__qualname__"):
                found.setdefault(f"{inner}.{entry.__qualname__}", f"{module}.{name}")
    return found


def resolve(app: Sphinx, env: Any, node: Any, contnode: Any) -> Any:
    """Lead a reference to where a name is defined to the public name, under which it is documented."""
    if node.get("refdomain") != "py":
        return None
    if not hasattr(env, "gantools_public"):
        env.gantools_public = public_names()
    target = node.get("reftarget")
    # The board imports no torch: it says which results it draws by protocols of their names.
    public = env.gantools_public.get(target, target.replace("gantools.board.results.", "gantools.analysis."))
    domain = env.get_domain("py")
    for kind in ("class", "func", "exc", "data"):
        found = domain.resolve_xref(env, node["refdoc"], app.builder, kind, public, node, contnode)
        if found is not None:
            return found
    return None


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("api", Api)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
