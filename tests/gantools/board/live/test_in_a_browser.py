"""The live view in headless Chromium: TensorBoard's tab, the report, a notebook's frame; used as a person would."""

import base64
import json
import re

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from torch.utils.tensorboard import SummaryWriter

import gantools as gt
from gantools.board import add_spectrum, report
from gantools.board.live.looks import encode, spectrum_look, stream
from gantools.board.live.summaries import add_look
from tests.gantools.board.live.browsing import (
    IN_A_BROWSER,
    captions,
    drawn,
    outside,
    place,
    press,
    run_module,
    slide,
    view,
)
from tests.gantools.board.live.logs import DIAGNOSIS, spectrum, turning, write_runs
from tests.gantools.board.live.servers import tensorboard_on

pytestmark = IN_A_BROWSER


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder, steps=8)
    matrix = torch.diag(torch.linspace(-1, 2, 12, dtype=torch.float64))
    hessian = gt.analysis.LinearOperator(lambda u: matrix @ u, 12, symmetric=True)
    for run in "ab":
        with SummaryWriter(str(folder / run)) as writer:
            for step in (0, 300):
                gt.board.add_density(writer, "game/density", gt.analysis.spectral_density(hessian, 2, 8), step)
                gt.board.add_index(writer, "game/index", gt.analysis.index(hessian), step)
    return folder


def use_as_a_person_would(page, doc):
    """Move the slider, overlay, hover, change axes, views and themes; what is asserted is what can be read."""
    drawn(page, doc, "plane 700")
    assert [text.split()[0] for text in captions(page, doc)] == ["a", "b"]
    slide(page, doc, 2)
    drawn(page, doc, "plane 200")
    assert all(
        "step 200: 9 of 1000 eigenvalues (largest |λ|)" in text and "3 neutral" in text for text in captions(page, doc)
    )

    hover_over_each_eigenvalue(page, doc)
    press(page, doc, "overlaid")
    page.wait(f"{doc}.querySelectorAll('figure').length === 1")
    assert "a, step 200" in captions(page, doc)[0] and "b, step 200" in captions(page, doc)[0]

    for text in ("linear", "unit circle", "log", "disc of lr", "none", "half-plane"):
        press(page, doc, text)
        page.wait(f"[...{doc}.querySelectorAll('button')].find(b => b.textContent === '{text}').ariaPressed === 'true'")
    zoom_and_return(page, doc)
    for theme, colour in (("dark", "rgb(27, 31, 36)"), ("light", "rgb(255, 255, 255)")):
        page.evaluate(f"""(D => {{ const s = [...D.querySelectorAll('label')].find(l => l.innerText.startsWith('theme'))
            .querySelector('select'); s.value = '{theme}'; s.dispatchEvent(new Event('change')); }})({doc})""")
        page.wait(f"getComputedStyle({doc}.querySelector('main')).backgroundColor === '{colour}'")
    press(page, doc, "Density")
    page.wait(f"{doc}.querySelector('main').dataset.drawn.startsWith('density')")
    assert "12 eigenvalues" in captions(page, doc)[0] and "band at 95 %" in captions(page, doc)[0]
    press(page, doc, "Index")
    page.wait(f"{doc}.querySelector('main').dataset.drawn.startsWith('index')")
    assert "negative 33.33 %" in captions(page, doc)[0]
    press(page, doc, "Eigenvalues")
    page.wait(f"{doc}.querySelector('main').dataset.drawn.startsWith('plane')")


def hover_over_each_eigenvalue(page, doc):
    """Walk over the points by key and compare the table of the tooltip with what was written."""
    x, y = place(page, doc, "D.querySelector('canvas')", 0.99, 0.01)
    page.click(x, y)
    found = set()
    for _ in range(9):
        page.key("n")
        text = page.wait(f"!{doc}.querySelector('.tooltip').hidden && {doc}.querySelector('.tooltip').innerText")
        found.add(text.split("λ\n")[1].split("\n")[0])
        assert "residual" in text and "generator" in text
    written = turning(2, seed=0).values
    shown = {complex(text.replace("−", "-").replace(" ", "").replace("i", "j")) for text in found}
    assert len(shown) == 7  # six that move, and the zeros
    assert all(min(abs(written - value)) <= 1e-3 * abs(value) for value in shown)
    # The pointer at the same place finds the same eigenvalue; the tooltip stands a little below and to the right of it.
    x, y = place(page, doc, "D.querySelector('.tooltip')", 0, 0)
    page.key("Escape")
    page.wait(f"{doc}.querySelector('.tooltip').hidden")
    page.mouse("mouseMoved", x=x - 13, y=y - 13)
    value = text.split("share of")[0]  # the zeros lie on one spot, and have shares of their own
    page.wait(f"{doc}.querySelector('.tooltip').innerText.startsWith({json.dumps(value)})")
    page.mouse("mouseMoved", x=3, y=3)
    page.wait(f"{doc}.querySelector('.tooltip').hidden")


def zoom_and_return(page, doc):
    x, y = place(page, doc, "D.querySelector('canvas')", 0.5, 0.4)
    page.click(x, y)
    before = page.evaluate(f"{doc}.querySelector('canvas').toDataURL()")
    page.key("+")
    page.key("ArrowLeft")
    page.wait(f"{doc}.querySelector('canvas').toDataURL() !== {json.dumps(before)}")
    page.key("0")
    page.mouse("mouseMoved", x=3, y=3)
    page.wait(f"{doc}.querySelector('canvas').toDataURL() === {json.dumps(before)}")


@pytest.fixture(scope="module")
def address(runs):
    with tensorboard_on(runs, "--reload_interval", "2") as address:
        yield address


def test_the_tab_of_a_real_tensorboard(page, runs, address):
    page.open(f"{address}#gantools", 1300, 1000)
    doc = view(page, tab=True)
    use_as_a_person_would(page, doc)
    # A link leads back to what was seen.
    slide(page, doc, 3)
    drawn(page, doc, "plane 300")
    page.open("about:blank")
    page.open(f"{address}#gantools&p.gantools.view={'run%3Db%26step%3D500%26layout%3Dover'}", 1300, 1000)
    doc = view(page, tab=True)
    drawn(page, doc, "plane 500")
    assert [text.split()[0] for text in captions(page, doc)] == ["b"]
    # New data arrive with TensorBoard's own button.
    with SummaryWriter(str(runs / "b")) as writer:
        add_spectrum(writer, "game/jacobian", turning(9, seed=1), 900)
    button = "document.querySelector('app-header-reload button')"
    press_until = f"({button}.click(), {doc}.querySelector('.steps output').innerText.includes('of 9'))"
    page.wait(press_until, 60)
    assert page.errors == [] and outside(page) == []


def test_the_report(page, runs, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report(runs, "Two <b>runs</b>", {"trained": "<script>alert(1)</script>"}))
    page.open(f"file://{path}", 1300, 1000)
    doc = view(page, tab=False)
    page.wait("document.querySelector('main')?.dataset.drawn")
    assert page.evaluate("document.querySelector('h1').innerText") == "Two <b>runs</b>"
    assert page.evaluate("document.querySelectorAll('h1 b, dl script').length") == 0
    if "of 9" in page.evaluate("document.querySelector('.steps output').innerText"):  # the other test's new step
        slide(page, doc, 7)
    use_as_a_person_would(page, doc)
    assert page.evaluate("document.querySelectorAll('.sample img').length") == 2
    assert page.evaluate("[...document.querySelectorAll('.sample img')].every(i => i.naturalWidth === 8)")
    assert page.errors == [] and outside(page) == []
    # The page's own policy would stop what tried.
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")
    assert any("Content Security Policy" in error for error in page.errors)


def test_a_diagnosis_in_the_report_is_read_and_its_flags_are_copied(page, runs, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report(runs, "runs", diagnosis=DIAGNOSIS))
    page.open(f"file://{path}", 1300, 1000)
    page.wait("document.querySelector('main')?.dataset.drawn")
    shown = page.evaluate("document.querySelector('.diagnosis').innerText")
    for words in (
        "a, step 400: 300 steps",
        "rotation probable",
        "</script><b>",
        "Damp it.",
        "some cures were not tried.",
    ):
        assert words in shown
    press(page, "document", "copy")
    page.wait("document.querySelector('.flags button').textContent !== 'copy'")
    assert page.evaluate("getSelection().toString()") == "--optimizer consensus"
    assert page.errors == [] and outside(page) == []


def test_files_of_what_is_shown(page, runs, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report(runs, "runs"))
    page.open(f"file://{path}#step=200", 1300, 1000)
    page.wait("document.querySelector('main')?.dataset.drawn === 'plane 200'")
    page.evaluate("""window.files = {}; URL.createObjectURL = (blob) => { window.blob = blob; return 'blob:none'; };
        HTMLAnchorElement.prototype.click = function () { const name = this.download; const reader = new FileReader();
        reader.onload = () => window.files[name] = reader.result; reader.readAsDataURL(window.blob); }""")
    content = {}
    for kind in ("CSV", "SVG", "PNG"):
        press(page, "document", kind)
        name = f"plane-game-jacobian-step-200.{kind.lower()}"
        content[kind] = base64.b64decode(page.wait(f"window.files[{json.dumps(name)}]").split(",")[1])
    rows = [line.split(",") for line in content["CSV"].decode().splitlines()]
    assert rows[0][:5] == ["run", "tag", "step", "real", "imag"] and len(rows) == 1 + 2 * 9
    for seed, run in enumerate("ab"):
        values = [float(row[3]) + 1j * float(row[4]) for row in rows if row[0] == run]
        np.testing.assert_allclose(values, turning(2, seed=seed).values, rtol=1e-6)
    assert content["PNG"].startswith(b"\x89PNG")
    assert content["SVG"].startswith(b"<svg") and b"Re \xce\xbb" in content["SVG"]
    # The names of the runs are in the colours that their lines over steps have.
    for run, colour in (("a", "#0072b2"), ("b", "#d55e00")):
        assert re.search(rf'fill="{colour}"[^>]*>{run}</text>'.encode(), content["SVG"])
        assert f'stroke="{colour}"'.encode() in content["SVG"]
    (tmp_path / "picture.svg").write_bytes(content["SVG"])
    page.open(f"file://{tmp_path / 'picture.svg'}")
    page.wait("document.documentElement.tagName === 'svg'")
    assert page.evaluate("document.querySelectorAll('path').length") > 10
    assert page.errors == []


def test_a_notebooks_frame(page, tmp_path):
    matrix = torch.tensor([[1.0, 5], [-5, 1]])
    A = gt.analysis.LinearOperator(lambda u: matrix.to(u) @ u, 2)
    S = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True)
    results = [gt.analysis.spectrum(A), gt.analysis.index(S), gt.analysis.spectral_density(S, 1, 3)]
    for number, result in enumerate(results):
        path = tmp_path / f"{number}.html"
        path.write_text(f"<meta charset=utf-8>{result._repr_html_()}")
        page.open(f"file://{path}")
        page.wait("document.querySelector('iframe') && document.readyState === 'complete'")
        assert page.evaluate("document.querySelector('pre').textContent") == str(result)
        # The frame has an origin of its own: nobody outside can look in, so its own words are asked for by picture.
        page.screenshot(tmp_path / "frame.png")
    assert page.errors == [] and outside(page) == []


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (5, 5), (20, 33), (60, 60)])
def test_the_assignment_is_the_cheapest(page, tmp_path, rows, columns):
    rng = np.random.default_rng(rows)
    cost = rng.random((rows, columns))
    cost[rng.random((rows, columns)) < 0.5] = 1.0  # ties, as beyond the gate
    chosen = run_module(
        page, f"Array.from(assign({rows}, {columns}, Float64Array.from({cost.ravel().tolist()})))", tmp_path
    )
    assert len(set(chosen)) == rows
    expected = cost[linear_sum_assignment(cost)].sum()
    assert cost[np.arange(rows), chosen].sum() == pytest.approx(expected, rel=1e-12)


def test_trails_follow_eigenvalues_and_not_their_order(page, tmp_path):
    rng = np.random.default_rng(0)
    values = np.exp(rng.normal(size=30)) * np.exp(1j * rng.uniform(0, 6, 30))
    order = rng.permutation(30)
    data = stream([(0, 0.0, encode(spectrum_look(spectrum(values)))),
                   (1, 0.0, encode(spectrum_look(spectrum((values * 1.001)[order]))))])  # fmt: skip
    text = base64.b64encode(data).decode()
    code = f"""(() => {{ const {{looks}} = decodeStream(Uint8Array.from(atob("{text}"), c => c.charCodeAt(0)).buffer);
        return Array.from(matchLooks(looks[0], looks[1], symlog(0.01))); }})()"""
    assert run_module(page, code, tmp_path) == order.tolist()


@pytest.mark.parametrize(("kind", "lr"), [("field", 0.0), ("field", 0.3), ("field", 1e-3), ("map", 0.0)])
def test_classes_and_factors_are_those_of_the_stable_region(page, tmp_path, kind, lr):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(size=40) + 1j * rng.normal(size=40), [0, 1, 1 + 3e-9, 0.01 + 2j, -1e-9]])
    found = spectrum(values, kind=kind)
    found.errors[:5] = 10.0  # anything may be true of these
    text = base64.b64encode(stream([(0, 0.0, encode(spectrum_look(found)))])).decode()
    code = f"""(() => {{ const bytes = Uint8Array.from(atob("{text}"), c => c.charCodeAt(0));
        const look = decodeStream(bytes.buffer).looks[0];
        const found = [...classesOf(look, {lr}).of];
        return found.map((kind, i) => [CLASSES[kind], stepFactor(look, i, {lr})]); }})()"""
    answer = run_module(page, code, tmp_path)
    seen = values if kind == "map" else values.astype(np.complex64)
    factor = np.abs(seen) if kind == "map" else np.abs(1 - lr * seen.astype(complex))
    stable = seen.real > 0 if kind == "field" and lr == 0 else factor < 1
    neutral = np.abs(seen - (kind == "map")) <= 1e-7 * np.abs(values).max()
    np.testing.assert_allclose([number for _, number in answer], factor, rtol=1e-12)
    for (name, _), attracts, zero, error in zip(answer, stable, neutral, found.errors, strict=True):
        assert name == ("neutral" if zero else "undecided" if error == 10 else "attracts" if attracts else "repels")


def test_axes_stand_still(page, runs, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(report(runs, "runs"))
    page.open(f"file://{path}#step=0&trail=0", 1300, 1000)
    page.wait("document.querySelector('main')?.dataset.drawn === 'plane 0'")
    axes = """(() => { const c = document.querySelector('canvas'); const d = c.getContext('2d');
        return [d.getImageData(0, c.height - 40, c.width, 40), d.getImageData(0, 0, 55, c.height)]
            .map(part => part.data.reduce((sum, x, i) => (sum * 31 + x * (i % 977)) % 1000003, 7)).join(); })()"""
    points = "document.querySelector('canvas').toDataURL()"
    seen = []
    for position in range(8):
        slide(page, "document", position)
        drawn(page, "document", f"plane {100 * position}")
        seen.append((page.evaluate(axes), page.evaluate(points)))
    assert len({labels for labels, _ in seen}) == 1 and len({picture for _, picture in seen}) == 8


def test_numbers_that_are_none_do_no_harm(page, tmp_path):
    nan, inf = float("nan"), float("inf")
    with SummaryWriter(str(tmp_path / "logs")) as writer:
        for step, values in enumerate(
            [[nan, 1j, -1j], [complex(nan, nan)] * 3, [], [inf, 1 + 1j, 1 - 1j], [0j, 1e300]]
        ):
            found = spectrum(np.asarray(values, complex))
            add_look(writer, "x", spectrum_look(found, lr=nan), step)
    path = tmp_path / "report.html"
    path.write_text(report(tmp_path / "logs", "runs"))
    page.open(f"file://{path}", 900, 900)
    for step, counted in enumerate(["1 not finite", "3 not finite", "0 eigenvalues", "2 attract", "1 neutral"]):
        page.wait("document.querySelector('main')?.dataset.drawn")
        slide(page, "document", step)
        drawn(page, "document", f"plane {step}")
        for text in ("linear", "unit circle", "log"):
            press(page, "document", text)
        assert counted in captions(page, "document")[0], captions(page, "document")
    assert page.errors == []


MEASURE = """(async D => {
    const times = [];
    for (let i = 0; i < 12; i++) {
        const slider = D.querySelector('.steps input');
        slider.value = (i * 677) % 2000;
        const begun = performance.now();
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        const wanted = 'plane ' + slider.value;
        while (D.querySelector('main').dataset.drawn !== wanted) await new Promise(requestAnimationFrame);
        times.push(performance.now() - begun);
        await new Promise(done => setTimeout(done, 150));
    }
    return times;
})(DOCUMENT)"""


def test_2000_steps_of_200_eigenvalues_of_4_runs(page, tmp_path):
    for number in range(4):
        rng = np.random.default_rng(number)
        half = rng.lognormal(-2, 2, 100) * np.exp(1j * rng.normal(0, 0.9, 100))
        drift = rng.normal(0, 0.5, 100) + 1j * rng.normal(0, 1, 100)
        with SummaryWriter(str(tmp_path / f"run{number}")) as writer:
            for step in range(2000):
                moved = half * np.exp(drift * step / 2000)
                values = np.concatenate([moved, moved.conj()])[rng.permutation(200)]
                add_look(writer, "game/jacobian", spectrum_look(spectrum(values)), step)
                for scalar in ("metrics/fid", "loss/critic", "loss/generator"):
                    writer.add_scalar(scalar, moved[0].real, step)
    with tensorboard_on(tmp_path) as address:
        page.open(f"{address}#gantools", 1300, 1000)
        doc = view(page, tab=True)
        page.wait(f"{doc}.querySelectorAll('figure').length === 4", 120)
        page.wait(f"{doc}.querySelector('.steps output').innerText.includes('of 2000')", 120)
        page.wait(f"{doc}.querySelectorAll('.small').length === 4", 120)
        measured = page.evaluate(MEASURE.replace("DOCUMENT", doc))
    print(f"milliseconds from the slider to the picture: {sorted(round(t) for t in measured)}")
    assert len(measured) == 12 and page.errors == []
