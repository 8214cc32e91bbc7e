"""The live view in a browser, for tests: its page, its parts, what is pressed and read."""

import json

import pytest
from headless_browser import find_chromium

from gantools.board.live.page import script

IN_A_BROWSER = [
    pytest.mark.slow,
    pytest.mark.skipif(find_chromium() is None, reason="no Chromium is installed: apt-get install chromium"),
    pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning"),
]


def view(page, tab):
    """Return a JavaScript expression of the view's document: the page's own, or the one in TensorBoard's frame."""
    if not tab:
        return "document"
    return (
        "[...document.querySelectorAll('iframe')].find(f => f.contentDocument?.querySelector('main')).contentDocument"
    )


def press(page, doc, text):
    """Press the button of this text, where the pointer would."""
    x, y = place(page, doc, f"[...D.querySelectorAll('button')].find(b => b.textContent === {json.dumps(text)})")
    page.click(x, y)


def place(page, doc, element, across=0.5, down=0.5):
    """Return the pixels of a part of an element, in the whole window."""
    code = f"""(D => {{ const e = {element}; e.scrollIntoView({{block: "center"}});
        const b = e.getBoundingClientRect();
        const o = D.defaultView.frameElement?.getBoundingClientRect() ?? {{x: 0, y: 0}};
        return [o.x + b.x + b.width * {across}, o.y + b.y + b.height * {down}]; }})({doc})"""
    return page.evaluate(code)


def slide(page, doc, position):
    code = f"""(D => {{ const s = D.querySelector('.steps input'); s.value = {position};
        s.dispatchEvent(new Event('input', {{bubbles: true}})); }})({doc})"""
    page.evaluate(code)


def drawn(page, doc, text):
    page.wait(f"{doc}.querySelector('main').dataset.drawn === {json.dumps(text)}")


def captions(page, doc):
    return page.evaluate(f"[...{doc}.querySelectorAll('figcaption')].map(c => c.innerText)")


def outside(page):
    """Return the addresses asked for that are not of this machine."""
    return [
        url for url in page.requests if not url.startswith(("http://127.0.0.1", "file:", "data:", "blob:", "about:"))
    ]


def run_module(page, expression, tmp_path):
    """Return the value of an expression in which the names of the view's modules are known."""
    path = tmp_path / "module.html"
    program = script().replace("export { render, renderPage };", f"window.answer = {expression};")
    path.write_text(f"<meta charset=utf-8><script type=module>{program}</script>")
    page.open(f"file://{path}")
    return page.wait("window.answer !== undefined && {answer: window.answer}")["answer"]
