"""Results in notebooks: the live view in a frame, and the text of the result for viewers that show no frame."""

import html

from gantools.board.live.looks import Look, encode, stream
from gantools.board.live.page import page


def frame(name: str, look: Look, text: str, height: int = 540) -> str:
    """Return HTML that shows one look.

    Scripts run in the frame alone, which has no access to the notebook or the network; a viewer that removes frames,
    as code hosts do, still shows the text.

    Args:
        name: of what is shown.
        look: facts and arrays.
        text: what the result prints as.
        height: of the frame in pixels.
    """
    entry = {"run": "", "key": name, "tag": name, "kind": look[0]["kind"], "last": 0, "time": 0, "blob": 0}
    entry |= {name: look[0].get(name) for name in ("operator", "complete")}
    catalog = {"series": [entry], "scalars": [], "pictures": [], "texts": []}
    inside = page(name, catalog, [stream([(0, 0.0, encode(look))])], compact=True)
    return (
        f'<iframe title="{html.escape(name)}" srcdoc="{html.escape(inside)}" sandbox="allow-scripts allow-downloads" '
        f'style="width: 100%; max-width: 900px; height: {height}px; border: 0"></iframe>\n'
        f"<details><summary>as text</summary><pre>{html.escape(text)}</pre></details>"
    )
