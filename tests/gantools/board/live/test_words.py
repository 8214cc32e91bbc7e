"""Words of the live view: analyses named beside a training, verdicts and notes at their steps; mostly in Chromium."""

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

import gantools as gt
from gantools.board import add_spectrum, report
from gantools.board.live import report as module
from gantools.board.live.logs import open_logs
from tests.gantools.board.live.browsing import IN_A_BROWSER, drawn, press, slide, view
from tests.gantools.board.live.logs import turning, write_runs
from tests.gantools.board.live.servers import tensorboard_on

VERDICTS = {0: "Your step: Unstable.\n\nThe game: <b>rotates</b>.", 100: "Your step: Stable.", 300: "Your step: NaN."}


def write_words(folder):
    """Write five looks of runs a and b, and of run a verdicts at three of them and two notes."""
    write_runs(folder, steps=5, pictures=False)
    with SummaryWriter(str(folder / "a")) as writer:
        for step, text in VERDICTS.items():
            writer.add_text("game/verdict", text, step)
        writer.add_text("note", "the rate was raised", 50)
        writer.add_text("note", "the rate was raised again", 250)
        writer.add_text("hyperparameters", "lr=1", 0)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    write_words(folder)
    return folder


def test_verdicts_and_notes_are_in_the_catalog_and_of_a_step_the_newer_one_counts(tmp_path):
    write_words(tmp_path)
    with SummaryWriter(str(tmp_path / "a")) as writer:
        writer.add_text("game/verdict", "again", 100)
    logs = open_logs(tmp_path)
    texts = [(entry["run"], entry["tag"], entry["last"]) for entry in logs.catalog()["texts"]]
    assert texts == [("a", "game/verdict", 300), ("a", "note", 250)]
    assert logs.texts("a", "game/verdict") == [(0, VERDICTS[0]), (100, "again"), (300, VERDICTS[300])]
    assert logs.texts("a", "absent") is None and logs.texts("b", "note") is None


def test_many_verdicts_are_thinned_and_that_is_told(words, monkeypatch):
    assert "verdicts shown" not in report(words, "run")
    monkeypatch.setattr(module, "MOST_TEXTS", 2)
    assert '"verdicts shown": "2 steps of each, evenly"' in report(words, "run")


def said(page, doc="document"):
    return page.evaluate(f"(b => b.hidden ? '' : b.innerText)({doc}.querySelector('.said'))")


def read_verdicts(page, doc):
    """Move the slider over all steps; the verdict of the last look up to each stands below, as text."""
    drawn(page, doc, "plane 400")
    for position, step in enumerate([0, 100, 100, 300, 300]):
        slide(page, doc, position)
        drawn(page, doc, f"plane {100 * position}")
        page.wait(f"{doc}.querySelector('.said').innerText.includes('Verdict at a, step {step}\\n')")
        for line in VERDICTS[step].split("\n\n"):
            assert line in said(page, doc)
    assert page.evaluate(f"{doc}.querySelectorAll('.said p b').length") == 0
    page.evaluate(f"{doc}.querySelector('.said details').open = true")
    assert "Notes of the training: 2" in said(page, doc) and "a, step 250: the rate was raised again" in said(page, doc)
    # Run b alone has nothing to say.
    page.evaluate(f"[...{doc}.querySelectorAll('.runs label')].find(l => l.innerText === 'a').click()")
    page.wait(f"{doc}.querySelectorAll('figure').length === 1")
    assert said(page, doc) == ""


class TestInABrowser:
    pytestmark = IN_A_BROWSER

    def opened(self, page, logs, tmp_path, address=""):
        path = tmp_path / "report.html"
        path.write_text(report(logs, "run"))
        page.open("about:blank")  # what differs from the page before behind # alone is not read again
        page.open(f"file://{path}{address}", 1300, 1000)
        page.wait("document.querySelector('main')?.dataset.drawn")
        return page.evaluate("document.querySelector('main').dataset.drawn")

    def offered(self, page):
        rows = "[...document.querySelectorAll('.analyses button')]"
        code = f"{rows}.filter(b => b.offsetParent).map(b => [b.innerText, b.ariaPressed === 'true'])"
        return {text: pressed for text, pressed in page.evaluate(code)}

    def tag(self, page):
        return page.evaluate("document.querySelector('.tag select').value")

    def test_verdicts_in_a_report(self, page, words, tmp_path):
        self.opened(page, words, tmp_path)
        read_verdicts(page, "document")
        assert page.errors == []

    def test_verdicts_in_the_tab(self, page, words):
        with tensorboard_on(words) as address:
            page.open(f"{address}#gantools", 1300, 1000)
            read_verdicts(page, view(page, tab=True))
        assert page.errors == []

    def test_it_opens_on_the_training_and_names_the_analyses_the_newest_first(self, page, tmp_path):
        logs = tmp_path / "logs"
        write_runs(logs, runs=1, steps=2, pictures=False)
        assert self.opened(page, logs, tmp_path) == "plane 100" and self.offered(page) == {}
        hessian = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True, dtype=torch.float64)
        with SummaryWriter(str(logs / "a" / "analysis")) as writer:
            gt.board.add_index(writer, "analysis/index-critic", gt.analysis.index(hessian), 100)
        with SummaryWriter(str(logs / "a" / "analysis")) as writer:
            add_spectrum(writer, "analysis/jacobian/SR", turning(3), 50)
        index, spectrum = "index-critic, step 100 (new)", "jacobian/SR: smallest Re λ, step 50 (new)"
        assert self.opened(page, logs, tmp_path) == "plane 100" and self.tag(page) == "game/jacobian"
        assert self.offered(page) == {"the training": True, spectrum: False, index: False}
        assert list(self.offered(page))[1] == spectrum
        for text, at, tag in (
            (index, "index 100", "analysis/index-critic"),
            (spectrum, "plane 50", "analysis/jacobian/SR"),
            ("the training", "plane 100", "game/jacobian"),
        ):
            press(page, "document", text)
            drawn(page, "document", at)
            assert self.tag(page) == tag and self.offered(page)[text] is True
        # What an address asks for stays; and an analysis before the last look of the training is no news.
        assert self.opened(page, logs, tmp_path, "#tag=analysis%2Fjacobian%2FSR") == "plane 50"
        with SummaryWriter(str(logs / "a")) as writer:
            add_spectrum(writer, "game/jacobian", turning(9), 900)
        assert self.opened(page, logs, tmp_path) == "plane 900"
        assert list(self.offered(page))[1:] == [text.removesuffix(" (new)") for text in (spectrum, index)]
        assert page.errors == []

    def test_older_analyses_are_in_a_list(self, page, tmp_path):
        write_runs(tmp_path / "logs", runs=1, steps=1, pictures=False)
        for step, which in enumerate(("LI", "LR", "SR", "SM")):
            with SummaryWriter(str(tmp_path / "logs" / "a" / "analysis")) as writer:
                add_spectrum(writer, f"analysis/jacobian/{which}", turning(step), 10 + step)
        self.opened(page, tmp_path / "logs", tmp_path)
        buttons = [
            "the training",
            "jacobian/SM: smallest |λ|, step 13 (new)",
            "jacobian/SR: smallest Re λ, step 12 (new)",
        ]
        assert list(self.offered(page)) == buttons
        select = "document.querySelector('.analyses select')"
        listed = page.evaluate(f"[...{select}.options].map(o => o.innerText)")
        assert listed[0] == "2 older" and [text.split(":")[0] for text in listed[1:]] == ["jacobian/LR", "jacobian/LI"]
        page.evaluate(f"(s => {{ s.value = '1'; s.dispatchEvent(new Event('change')); }})({select})")
        drawn(page, "document", "plane 10")
        assert self.tag(page) == "analysis/jacobian/LI" and page.evaluate(f"{select}.selectedIndex") == 2
        assert not any(self.offered(page).values())

    def test_without_a_training_it_opens_on_the_analysis_that_was_made_last(self, page, tmp_path):
        hessian = gt.analysis.LinearOperator(lambda u: u, 3, symmetric=True, dtype=torch.float64)
        with SummaryWriter(str(tmp_path / "logs")) as writer:
            add_spectrum(writer, "analysis/own-jacobian/SR", turning(3), 0)
        with SummaryWriter(str(tmp_path / "logs")) as writer:
            gt.board.add_index(writer, "analysis/own-index", gt.analysis.index(hessian), 0)
        assert self.opened(page, tmp_path / "logs", tmp_path) == "index 0" and self.offered(page) == {}
        assert self.tag(page) == "analysis/own-index"
