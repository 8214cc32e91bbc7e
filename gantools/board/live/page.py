"""The page of the live view: its modules joined to one script, its style sheet, and one HTML file with all inside."""

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

# In the order in which they need each other: joined they are one module, in which every name is known.
MODULES = (
    *("numbers", "scales", "matching", "scalars", "controls", "texts", "analyses", "data", "painter", "plane"),
    *("interaction", "charts", "distributions", "views", "exports", "state", "over", "panels", "app", "diagnosis"),
    "places",
)
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./\w+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=function|class|const|let|async)", re.MULTILINE)


def _read(name: str) -> str:
    return (resources.files("gantools.board.live") / "web" / name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the view as one ES module; it exports `render`, which TensorBoard calls."""
    bodies = (_EXPORT.sub("", _IMPORT.sub("", _read(f"{name}.js"))) for name in MODULES)
    return "\n".join([*bodies, "export { render, renderPage };\n"])


@cache
def style() -> str:
    """Return the style sheet."""
    return _read("view.css")


def page(
    title: str,
    catalog: Mapping[str, Any],
    blobs: Sequence[bytes],
    facts: Mapping[str, str] | None = None,
    diagnosis: Mapping[str, Any] | None = None,
    **options: Any,
) -> str:
    """Return one HTML file that shows the view with its data inside and asks the network for nothing.

    Args:
        title: of the page.
        catalog: what `Logs.catalog` returns, with the number of its blob as "blob" in each series and scalar, and steps
            and blobs of each picture as "steps" and "blobs".
        blobs: streams and pictures.
        facts: names and values to show above the view.
        diagnosis: what `Diagnosis.to_dict` returns, with its "subject".
        options: of the view, such as `compact`.
    """
    program = script().replace("export { render, renderPage };", "renderPage();")
    program = program.replace("</script", "<\\/script")
    digest = base64.b64encode(hashlib.sha256(program.encode()).digest()).decode()
    # Nothing but this script runs, and nothing leaves the page, whatever a run or a tag is called.
    policy = f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data: blob:"
    about = {"catalog": catalog, "title": title, "facts": facts or {}, "diagnosis": diagnosis, "options": options}
    data = json.dumps(about, allow_nan=False).replace("<", "\\u003c")
    texts = "".join(
        f'<script type="text/plain" id="blob-{i}">{base64.b64encode(blob).decode()}</script>\n'
        for i, blob in enumerate(blobs)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{html.escape(title)}</title>
<style>
{style()}</style>
</head>
<body>
<noscript>This page draws with JavaScript, which is switched off here.</noscript>
<script type="application/json" id="about">{data}</script>
{texts}<script type="module">{program}</script>
</body>
</html>
"""
