"""Follow every link of the built site, and refuse what it would load from outside, and flags that are set as dashes.

python scripts/documentation/check_site.py build/docs
"""

import re
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "link": "href"}


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.anchors.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag in LOADED and LOADED[tag] in given:
            self.loads.append(given[LOADED[tag]])


@cache
def parsed(path: Path) -> Page:
    """Return a page of the site."""
    return Page(path.read_text(encoding="utf-8"))


def outside(url: str) -> bool:
    """Whether an address leads out of the folder."""
    return bool(urlsplit(url).scheme or urlsplit(url).netloc)


def broken(path: Path, url: str) -> bool:
    """Whether a link of a page leads to no file, or to no place in it."""
    parts = urlsplit(url)
    target = path if not parts.path else path.parent / unquote(parts.path)
    if not target.is_file():
        return True
    return bool(parts.fragment) and target.suffix == ".html" and unquote(parts.fragment) not in parsed(target).anchors


def findings(folder: Path) -> list[str]:
    """Return a sentence for each link that leads nowhere, each thing from outside, and each flag that is a dash."""
    found = []
    for path in sorted(folder.rglob("*.html")):
        page, name = parsed(path), path.relative_to(folder)
        dashes = re.findall(r"(?<!\w)\u2013[a-z][\w.-]*", path.read_text(encoding="utf-8"))
        found += [f"{name}: {word} is no flag that can be copied" for word in dict.fromkeys(dashes)]
        found += [f"{name} loads {url} from outside" for url in page.loads if outside(url) and "data:" not in url]
        inner = [url for url in page.links + page.loads if not outside(url) and url not in ("", "#")]
        found += [f"{name}: {url} leads nowhere" for url in dict.fromkeys(inner) if broken(path, url)]
    for style in sorted(folder.rglob("*.css")):
        named = re.findall(r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^)'\"\s]+)", style.read_text(encoding="utf-8"))
        found += [f"{style.relative_to(folder)} loads {url} from outside" for url in named]
    return found


def main() -> int:
    folder = Path(sys.argv[1])
    if not (folder / "index.html").exists():
        print(f"{folder} holds no site: build it first.")
        return 2
    found = findings(folder)
    print("\n".join(found) or f"{folder}: every link leads somewhere, nothing is loaded from outside.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
