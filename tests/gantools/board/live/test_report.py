"""The report and the notebook's frame as text: all is inside, and nothing runs but the view."""

import base64
import hashlib
import json
import os
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.board import report
from gantools.board.live import report as module
from gantools.board.live.looks import decode
from gantools.board.live.page import script
from gantools.cli import main
from gantools.games.analytic import bilinear
from tests.gantools.board.live.logs import DIAGNOSIS, loss, turning, write_runs, write_scalars


class Scripts(HTMLParser):
    """The script elements of a page, by type and id, as a browser would divide them."""

    def __init__(self, page):
        super().__init__()
        self.found, self.open = {}, None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "script":
            attributes = dict(attrs)
            self.open = attributes.get("id", attributes["type"])
            self.found[self.open] = ""

    def handle_data(self, data):
        if self.open:
            self.found[self.open] += data

    def handle_endtag(self, tag):
        self.open = None


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    write_scalars(folder)
    return folder


def test_the_numbers_are_inside(runs):
    found = Scripts(report(runs, "runs")).found
    series = json.loads(found["about"])["catalog"]["series"]
    assert [entry["run"] for entry in series] == ["a", "b"]
    data = base64.b64decode(found[f"blob-{series[1]['blob']}"])
    step, _, length = np.frombuffer(data, "<f8", 3)
    _, arrays = decode(data[24 : 24 + int(length)])
    np.testing.assert_allclose(arrays["real"], turning(int(step) // 100, seed=1).values.real, rtol=1e-6)


def scalars_of(page):
    """Return (step, value) of the scalars in a page by run and tag."""
    found = Scripts(page).found
    entries = json.loads(found["about"])["catalog"]["scalars"]
    data = {(s["run"], s["tag"]): base64.b64decode(found[f"blob-{s['blob']}"]) for s in entries}
    return {name: np.frombuffer(content, "<f8").reshape(-1, 2) for name, content in data.items()}


def test_scalars_are_inside(runs):
    found = scalars_of(report(runs, "runs"))
    steps, values = found["b", "loss/critic"].T
    assert len(found) == 2 * 7 and steps.tolist() == list(range(0, 500, 10))
    np.testing.assert_allclose(values, [loss(step, 1) for step in steps], rtol=1e-6)


def test_what_is_read_is_told(runs):
    told = []
    report(runs, "runs", progress=lambda *call: told.append(call))
    assert [what for what, _, _ in told] == ["MB of logs"] * 2
    assert told[0][1] == 0 and all(read <= whole for _, read, whole in told)


def test_pictures_are_inside_but_not_the_figures(runs):
    found = Scripts(report(runs, "runs")).found
    pictures = json.loads(found["about"])["catalog"]["pictures"]
    assert [(p["run"], p["tag"], p["steps"]) for p in pictures] == [
        (run, "samples", [0, 100, 200, 300, 400]) for run in "ab"
    ]
    assert all(base64.b64decode(found[f"blob-{blob}"]).startswith(b"\x89PNG") for p in pictures for blob in p["blobs"])


def test_the_pages_policy_lets_only_the_view_run(runs):
    page = report(runs, "</title><script>alert(1)</script>", {"</script>": "<img src=x onerror=alert(1)>"})
    found = Scripts(page).found
    assert set(found) == {"about", "module"} | {name for name in found if re.fullmatch(r"blob-\d+", name)}
    digest = base64.b64encode(hashlib.sha256(found["module"].encode()).digest()).decode()
    assert f"default-src 'none'; script-src 'sha256-{digest}'" in page
    assert json.loads(found["about"])["facts"] == {"</script>": "<img src=x onerror=alert(1)>"}
    assert "<script>alert" not in page and "<img" not in page


def test_names_of_the_modules_that_are_joined_are_different():
    names = re.findall(r"^(?:export )?(?:async )?(?:const|let|function|class) (\w+)", script(), re.MULTILINE)
    assert len(names) > 100 and sorted(names) == sorted(set(names))


def test_long_runs_are_thinned_and_say_so(runs, monkeypatch):
    monkeypatch.setattr(module, "MOST_BYTES", 3000)
    monkeypatch.setattr(module, "MOST_PICTURES", 3)
    monkeypatch.setattr(module, "MOST_SCALARS", 3 * 14)
    page = report(runs, "runs")
    about = json.loads(Scripts(page).found["about"])
    assert about["facts"]["scalars shown"] == "3 steps of each, evenly"
    assert scalars_of(page)["a", "metrics/recall"][:, 0].tolist() == [0, 200, 400]
    assert "%, evenly" in about["facts"]["steps shown"]
    assert [entry["steps"] for entry in about["catalog"]["pictures"]] == [[0, 200, 400]] * 2


@pytest.mark.parametrize("name", ["nowhere", "."])
def test_a_folder_without_spectra(tmp_path, name):
    with pytest.raises(gt.GantoolsError, match="There is no folder|holds no spectra: train with --spectrum-every"):
        report(tmp_path / name, "x")


def test_a_folder_whose_name_is_no_text(tmp_path):
    os.mkdir(os.fsencode(tmp_path) + b"/\xff")
    with pytest.raises(gt.GantoolsError, match="cannot be read .*: pass a run"):
        report(tmp_path, "x")


def test_the_command(runs, tmp_path, capsys):
    path = tmp_path / "new" / "page.html"
    assert main(["report", str(runs), "--out", str(path)]) == 0
    assert str(path) in capsys.readouterr().out and "blob-0" in path.read_text()
    assert main(["report", str(tmp_path / "nowhere")]) == 2
    assert "There is no folder" in capsys.readouterr().err


def test_the_diagnosis_of_a_run_is_inside_and_a_damaged_one_is_told(runs, tmp_path, capsys):
    folder, path = tmp_path / "a", tmp_path / "page.html"
    shutil.copytree(runs / "a", folder)
    (folder / "analysis").mkdir()
    file = folder / "analysis" / "diagnosis.json"
    file.write_text(json.dumps(DIAGNOSIS))
    assert main(["report", str(folder), "--out", str(path)]) == 0
    assert json.loads(Scripts(path.read_text()).found["about"])["diagnosis"] == DIAGNOSIS
    for damage in ("{", "[]", '{"findings": []}'):
        file.write_text(damage)
        assert main(["report", str(folder), "--out", str(path)]) == 2
        assert "is damaged: run `gantools diagnose" in capsys.readouterr().err


def test_notebooks_show_frame_and_text():
    A = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True, dtype=torch.float64)
    game, batch = bilinear([1.0])
    path = gt.analysis.path_angle(game, game.vector() + 1, game.vector(), batch, points=5)
    for result in (gt.analysis.spectrum(A), gt.analysis.index(A), gt.analysis.spectral_density(A, 1, 3), path):
        text = result._repr_html_()
        # Scripts without the notebook's origin: they reach neither its cells nor its server.
        assert 'sandbox="allow-scripts allow-downloads"' in text and "allow-same-origin" not in text
        assert "&lt;script" in text and "<script" not in text and "<pre>" in text
