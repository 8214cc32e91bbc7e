"""Charts over steps in headless Chromium: scalars of the runs beside the spectra, their choice, the marked step."""

import itertools
import json
import re

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

import gantools as gt
from gantools.board import add_spectrum, report
from tests.gantools.board.live.browsing import IN_A_BROWSER, captions, drawn, outside, place, run_module, slide, view
from tests.gantools.board.live.logs import loss, spectrum, turning, write_runs, write_scalars
from tests.gantools.board.live.servers import tensorboard_on

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder, steps=8, pictures=False)
    write_scalars(folder, steps=8)
    with SummaryWriter(str(folder / "a" / "analysis")) as writer:
        add_spectrum(writer, "game/slow", turning(3), 300)
        hessian = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True, dtype=torch.float64)
        gt.board.add_index(writer, "game/index", gt.analysis.index(hessian), 300)
    return folder


SMALLEST = "smallest Re λ among 9 (largest |λ|)"  # of a thousand


def heads(page, doc="document"):
    """Return the numbers that stand above each chart, by its name; None for what is not a number."""
    chart = "[c.querySelector('b').innerText, [...c.querySelectorAll('.value')].map(v => v.innerText)]"
    found = page.evaluate(f"[...{doc}.querySelectorAll('.over .small')].map(c => {chart})")
    return {name: [None if x == "not a number" else float(x.replace("−", "-")) for x in xs] for name, xs in found}


def opened(page, runs, tmp_path, address="", wide=1300):
    path = tmp_path / "report.html"
    path.write_text(report(runs, "runs"))
    page.open("about:blank")
    page.open(f"file://{path}#{address}", wide, 1100)
    page.wait("document.querySelector('main')?.dataset.drawn")


def tick(page, *tags):
    """Tick or untick boxes of the menu of scalars."""
    for tag in tags:
        label = f"[...document.querySelectorAll('.menu label')].find(l => l.textContent === '{tag}')"
        page.evaluate(f"{label}.querySelector('input').click()")


def test_a_metric_and_the_losses_stand_beside_the_spectrum_at_its_step(page, runs, tmp_path):
    opened(page, runs, tmp_path, "tag=game%2Fjacobian")
    drawn(page, "document", "plane 700")
    # The metric that is not gantools' own first; of what is no metric and no loss, nothing.
    assert list(heads(page)) == [SMALLEST, "metrics/fid", "loss/critic", "loss/generator"]
    for position in (0, 1, 5):
        slide(page, "document", position)
        drawn(page, "document", f"plane {100 * position}")
        found, step = heads(page), 100 * position
        assert found["metrics/fid"] == ([None, None] if step == 100 else [10 + step, 310 + step])
        assert found["loss/critic"] == pytest.approx([loss(step, 0), loss(step, 1)], rel=0.006)
        assert found["loss/generator"] == pytest.approx([-loss(step, 0), -loss(step, 1)], rel=0.006)
        assert found[SMALLEST] == pytest.approx(
            [turning(position, seed=seed).values.real.min() for seed in (0, 1)], rel=0.006
        )
    # One run alone has one number.
    page.evaluate("[...document.querySelectorAll('.runs label')].find(l => l.innerText === 'a').click()")
    page.wait("document.querySelectorAll('figure').length === 1")
    assert heads(page)["metrics/fid"] == [810]
    assert page.errors == [] and outside(page) == []


def test_scalars_are_chosen_and_a_link_remembers_them(page, runs, tmp_path):
    opened(page, runs, tmp_path, "tag=game%2Fjacobian&step=300")
    count = "document.querySelectorAll('.over .small').length"
    tick(page, "loss/critic", "loss/generator", "field_norm/critic")
    page.wait(f"{count} === 3")
    assert heads(page)["field_norm/critic"] == pytest.approx([2.0**-300] * 2, rel=0.01)
    link = page.evaluate("location.hash").removeprefix("#")
    tick(page, "metrics/fid", "field_norm/critic")
    page.wait(f"{count} === 1")
    assert page.evaluate("location.hash").endswith("scalar=")
    for address, names in ((link, ["metrics/fid", "field_norm/critic"]), ("scalar=", []), ("scalar=gone", None)):
        opened(page, runs, tmp_path, f"{address}&tag=game%2Fjacobian")
        found = list(heads(page))
        assert found[1:] == (["metrics/fid", "loss/critic", "loss/generator"] if names is None else names)
    assert page.errors == []


def test_a_click_on_a_chart_moves_to_its_step(page, runs, tmp_path):
    opened(page, runs, tmp_path, "tag=game%2Fjacobian")
    # From the axis on the left to the edge on the right are the steps from 0 to 790, with a margin of 2 %.
    code = "(c => (50 + (c.clientWidth - 67) * ((430 + 15.8) / (790 + 31.6))) / c.clientWidth)"
    for number in (0, 2):
        canvas = f"D.querySelectorAll('.small canvas')[{number}]"
        across = page.evaluate(f"{code}({canvas.replace('D.', 'document.')})")
        page.click(*place(page, "document", canvas, across))
        drawn(page, "document", "plane 400")
        slide(page, "document", 7)
        drawn(page, "document", "plane 700")


def test_an_analysis_shows_the_scalars_of_its_training_in_every_view(page, runs, tmp_path):
    opened(page, runs, tmp_path, "tag=game%2Fslow")
    drawn(page, "document", "plane 300")
    assert heads(page)["metrics/fid"] == [310] and SMALLEST not in heads(page)  # one step is no line
    opened(page, runs, tmp_path, "view=index&tag=game%2Findex")
    drawn(page, "document", "index 300")
    assert heads(page)["metrics/fid"] == [310]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("wide", [420, 1300])
def test_charts_fit_and_have_the_colours_of_the_runs(page, runs, tmp_path, wide, theme):
    opened(page, runs, tmp_path, f"tag=game%2Fjacobian&step=300&theme={theme}", wide)
    page.evaluate("document.querySelector('.menu').open = true")
    assert page.evaluate("document.documentElement.scrollWidth") <= wide
    page.evaluate("document.querySelector('.menu').open = false")
    # An analysis of run a takes no colour of its own. A line of it has many pixels, however it is smoothed.
    code = """[...document.querySelectorAll('.small canvas')].map(c => {
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data, style = getComputedStyle(c);
        return ['--run-0', '--run-1'].map(name => {
            const [r, g, b] = style.getPropertyValue(name).match(/[\\da-f]{2}/g).map(x => parseInt(x, 16));
            let n = 0;
            for (let i = 0; i < d.length; i += 4)
                n += Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 30;
            return n; }); })"""
    assert all(pixels > 20 for chart in page.evaluate(code) for pixels in chart)


def test_lines_are_where_their_numbers_are(page, tmp_path):
    points = [[0, 1.0], [100, 3.0], [200, None], [300, 2.0], [400, 2.5]]
    code = f"""(() => {{ const painter = new SvgPainter(300, 130);
        const line = {json.dumps(points)}.map(([x, y]) => [x, y ?? NaN]);
        const ink = {{panel: "#fff", axis: "#000", grid: "#ddd", text: "#123456"}};
        drawOverSteps(painter, {{lines: [line], colours: ["#abcdef"], step: 320, span: [0, 500]}}, ink);
        return String(painter); }})()"""
    svg = run_module(page, code, tmp_path)
    lines = re.findall(r'<path d="([^"]+)" fill="none" stroke="#abcdef"', svg)
    found = [[tuple(map(float, p.split())) for p in re.split("[ML]", line)[1:]] for line in lines]
    assert [len(line) for line in found] == [2, 2]  # broken where there is no number
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = sum(found, [])
    assert (x2 - x0) / (x1 - x0) == pytest.approx(3, abs=0.01) and (x3 - x0) / (x1 - x0) == pytest.approx(4, abs=0.01)
    assert (y2 - y0) / (y1 - y0) == pytest.approx(0.5, abs=0.01) and y1 < y0
    assert (y3 - y0) / (y1 - y0) == pytest.approx(0.75, abs=0.01)
    dashed = re.search(r'<path d="M([\d.]+) [^"]*" [^>]*stroke="#123456"[^>]*stroke-dasharray="4 3"', svg)
    assert dashed is not None and (float(dashed[1]) - x0) / (x1 - x0) == pytest.approx(3.2, abs=0.01)
    dot = re.search(r'<path d="M([\d.]+) ([\d.]+)a[^"]*" fill="#abcdef"', svg)  # at the last number up to the step
    assert dot is not None and float(dot[1]) - 3.5 == pytest.approx(x2) and float(dot[2]) == pytest.approx(y2)


def test_the_tab_shows_what_is_logged_while_it_is_open(page, tmp_path):
    write_runs(tmp_path, runs=1, steps=3, pictures=False)
    write_scalars(tmp_path, runs=1, steps=3)
    with tensorboard_on(tmp_path, "--reload_interval", "2") as address:
        page.open(f"{address}#gantools", 1300, 1000)
        doc = view(page, tab=True)
        drawn(page, doc, "plane 200")
        page.wait(f"{doc}.querySelectorAll('.small').length === 4")
        assert heads(page, doc)["metrics/fid"] == [210]
        with SummaryWriter(str(tmp_path / "a")) as writer:
            add_spectrum(writer, "game/jacobian", turning(3), 300)
            writer.add_scalar("metrics/fid", 4.5, 300)
        button = "document.querySelector('app-header-reload button')"
        page.wait(f"({button}.click(), {doc}.querySelectorAll('.small')[1].innerText.includes('4.5'))", 60)
        assert "of 4" in page.evaluate(f"{doc}.querySelector('.steps output').innerText")
    assert page.errors == [] and outside(page) == []


def test_what_is_shown_is_explained_and_selections_have_words(page, runs, tmp_path):
    with SummaryWriter(str(tmp_path / "logs")) as writer:
        add_spectrum(writer, "game/jacobian/LM", turning(0), 0)
        add_spectrum(
            writer, "game/update", spectrum([0.5 + 0.3j, 0.5 - 0.3j, 0.6 + 0.9j, 0.6 - 0.9j], kind="map", n=9), 0
        )
    opened(page, tmp_path / "logs", tmp_path, "tag=game%2Fjacobian%2FLM")
    explained = "document.querySelector('.about').innerText"
    assert "eigenvalue λ of the Jacobian of the game" in page.evaluate(explained)
    options = page.evaluate("[...document.querySelectorAll('.tag option')].map(o => o.innerText)")
    assert options == ["game/jacobian/LM: largest |λ|", "game/update"]
    assert "9 of 1000 eigenvalues (largest |λ|)" in captions(page, "document")[0]
    opened(page, tmp_path / "logs", tmp_path, "tag=game%2Fupdate")
    assert "one step of the optimizer" in page.evaluate(explained)
    assert "a step multiplies by up to 1.08167" in captions(page, "document")[0]  # the root of 0.6² + 0.9²
    opened(page, runs, tmp_path, "view=index&tag=game%2Findex")
    assert "curves down" in page.evaluate(explained)


def test_a_number_of_all_eigenvalues_is_told_from_one_of_those_computed(page, tmp_path):
    looks = [("SR", 2, False), ("LM", 9, False), ("LM", 9, True)]
    code = "[{}].map(look => [measureName('smallest', [look]), measureName('largest', [look])])"
    given = [f"{{which: '{which}', count: {n}, complete: {str(whole).lower()}}}" for which, n, whole in looks]
    assert run_module(page, code.format(", ".join(given)), tmp_path) == [
        ["smallest Re λ", "largest |λ| among 2 (smallest Re λ)"],
        [SMALLEST, "largest |λ|"],
        ["smallest Re λ", "largest |λ|"],
    ]
    mixed = f"measureName('rotation', [{given[0]}, {given[1]}])"
    assert run_module(page, mixed, tmp_path) == "largest |Im λ| of those computed"


def test_over_steps_stands_the_search_that_answers_for_the_number(page, tmp_path):
    """Beside the largest moduli the smallest real part is that of the search for it, not of what is shown."""
    with SummaryWriter(str(tmp_path / "logs")) as writer:
        for step in (0, 100):
            add_spectrum(writer, "game/jacobian/LM", spectrum([3.0 - step / 100, 2.0], n=9), step)
            add_spectrum(writer, "game/jacobian/SR", spectrum([-5.0 - step, -4.0], n=9, which="SR"), step)
    name = "smallest Re λ (game/jacobian/SR)"
    opened(page, tmp_path / "logs", tmp_path)
    page.wait(f"document.querySelector('.small b')?.innerText === {json.dumps(name)}")
    assert heads(page)[name] == [-105]
    page.evaluate("""(s => { s.value = 'repelling'; s.dispatchEvent(new Event('change')); })(
        document.querySelector('.over .bar select'))""")
    page.wait("document.querySelector('.small b').innerText === 'how many repel among 2 (largest |λ|)'")
    opened(page, tmp_path / "logs", tmp_path, "tag=game%2Fjacobian%2FSR&measure=largest")
    page.wait("document.querySelector('.small b')?.innerText === 'largest |λ| (game/jacobian/LM)'")
    assert list(heads(page).values())[0] == [2] and page.errors == []


def test_what_a_method_chose_for_itself_is_shown_beside_the_rest(page, tmp_path):
    tags = ["auto/rate", "loss/d", "loss/g", "metrics/modes_covered", "step_seconds", "auto/gamma"]
    given = json.dumps({"scalars": [{"run": "a", "tag": tag} for tag in tags], "series": []})
    code = f"(() => {{ const s = new Scalars(null); s.refresh({given}); return s.shown(['a'], null); }})()"
    shown = ["metrics/modes_covered", "loss/d", "loss/g", "auto/gamma", "auto/rate"]
    assert run_module(page, code, tmp_path) == shown


@pytest.mark.parametrize("ends", [(-0.3, 9.0), (-2.5, 2.5), (-1000.0, 0.02), (-1e-3, 1e-3)])
def test_ticks_of_a_logarithmic_axis_are_apart(page, tmp_path, ends):
    for threshold in (0.001, 0.1, 1.0):
        scale = f"symlog({threshold})"
        code = f"ticks({scale}, ...[{ends[0]}, {ends[1]}].map({scale}.forward), 800, 46)"
        found = run_module(page, code, tmp_path)
        span = run_module(page, f"[{ends[0]}, {ends[1]}].map({scale}.forward)", tmp_path)
        pixels = sorted(800 * (tick["at"] - span[0]) / (span[1] - span[0]) for tick in found)
        assert len(found) >= 3 and min(b - a for a, b in itertools.pairwise(pixels)) >= 45.9
        assert any(tick["label"] == "0" for tick in found)
