"""The directive `{benchmark-history}`: ratios of benchmarks over commits, from NAME.json in docs/benchmarks."""

import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 340, 150, 12, 46, 30, 26
POINT = '<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{commit}, {day}, PyTorch {torch}: {value:g}</title></circle>'


def chart(name: str, records: Sequence[Mapping[str, Any]]) -> str:
    """Return an SVG of one ratio: a point for each commit that has it, evenly spaced in order, from 0 on."""
    held = [record for record in records if name in record["ratios"]]
    values = [record["ratios"][name] for record in held]
    top = max(values) or 1.0
    step = (WIDTH - LEFT - RIGHT) / max(1, len(held) - 1)
    points = [(LEFT + i * step, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * v / top) for i, v in enumerate(values)]
    base = HEIGHT - BOTTOM
    parts = [
        f'<text x="{LEFT}" y="16" font-weight="bold">{html.escape(name)}</text>',
        f'<path d="M{LEFT} {base}H{WIDTH - RIGHT}" stroke="currentColor" opacity="0.4"/>',
        f'<polyline points="{" ".join(f"{x:.1f},{y:.1f}" for x, y in points)}" fill="none" stroke="currentColor"/>',
    ]
    for (x, y), record, value in zip(points, held, values, strict=True):
        day = record["date"][:10]
        parts.append(POINT.format(x=x, y=y, commit=record["commit"], day=day, torch=record["torch"], value=value))
    x, y = points[-1]
    parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{values[-1]:.2f}</text>')
    parts.append(f'<text x="{LEFT}" y="{base + 16}">{held[0]["commit"]}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{base + 16}" text-anchor="end">{held[-1]["commit"]}</text>')
    start = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" font-size="12" fill="currentColor" role="img">'
    return f"{start}<title>{html.escape(name)} over commits</title>{''.join(parts)}</svg>"


class BenchmarkHistory(SphinxDirective):
    """A chart for each ratio of the benchmarks that its content names."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        charts = []
        for name in " ".join(self.content).split():
            path = FOLDER / f"{name}.json"
            self.env.note_dependency(str(path))
            records = json.loads(path.read_text())
            charts += [chart(ratio, records) for ratio in dict.fromkeys(r for one in records for r in one["ratios"])]
        return [nodes.raw("", "".join(charts), format="html")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("benchmark-history", BenchmarkHistory)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
