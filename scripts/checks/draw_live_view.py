"""Pictures of the live view for the documentation: TensorBoard's tab and a report, taken in headless Chromium.

    gantools train --data ring8 --optimizer consensus --steps 1500 --spectrum-every 50 --sample-every 50 \
        --checkpoint-every 500 --out runs/live/consensus
    gantools train --data ring8 --optimizer simultaneous --steps 1500 --spectrum-every 50 --sample-every 50 \
        --checkpoint-every 500 --out runs/live/simultaneous
    gantools density runs/live/consensus --checkpoint all
    gantools index runs/live/consensus --checkpoint all
    python scripts/checks/draw_live_view.py runs/live docs/live
"""

import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from headless_browser import Page, chromium
from PIL import Image

from gantools.board import report, serve

READY = "[...document.querySelectorAll('iframe'), window].some(f => (f.contentDocument ?? f.document).querySelector("
PICTURES = {
    "tab": ("tab", "tag=game/jacobian/LM&step=1500&trail=15", (1280, 860)),
    "overlaid": ("report", "tag=game/jacobian/LM&step=1500&layout=over&theme=dark&region=disc&lr=2", (1280, 1130)),
    "density": ("report", "view=density&tag=analysis/density-discriminator", (760, 960)),
}


def take(page: Page, address: str, size: tuple[int, int], path: Path) -> None:
    """Write a picture of an address, in few bytes."""
    page.open("about:blank")
    page.open(address, *size)
    page.wait(f"{READY}'main')?.dataset.drawn)", 60)
    time.sleep(3)  # the trails are matched after the first picture, the samples come one by one
    page.screenshot(path)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(256, Image.Quantize.FASTOCTREE).save(path, optimize=True)


def main(runs: Path, out: Path) -> None:
    """Take all pictures of the runs in a folder."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as page:
        file = Path(folder) / "report.html"
        file.write_text(report(runs, "ring8"), encoding="utf-8")
        bases = {"tab": f"{serve(runs, 0)}#gantools&p.gantools.view=", "report": f"{file.as_uri()}#"}
        for name, (base, state, size) in PICTURES.items():
            text = quote(state, safe="") if base == "tab" else state
            take(page, bases[base] + text, size, out / f"{name}.png")
            print(out / f"{name}.png", (out / f"{name}.png").stat().st_size, page.errors)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
