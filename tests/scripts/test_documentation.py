"""The site's own parts: docstrings for Sphinx, formulas, parts of README, links; and the whole site, built."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sphinx", reason="the group docs is not installed")

import repository_pages
from check_site import findings
from command_help import help_of
from docstrings import rest
from draw_shapes import SHAPES
from mathml import mathml
from pages import blocks, run
from repository_pages import relinked, section

import gantools as gt

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("a `name` here", "a :code:`name` here"),
        ("the norm $\\|x\\|$ of it", "the norm :math:`\\|x\\|` of it"),
        ("call it `f`s", "call it :code:`f`\\ s"),
        ("(B, *shape) and |z|", "(B, \\*shape) and \\|z\\|"),
        ("*both* minimised", "*both* minimised"),
        ("complex_he_ draws", "complex_he\\_ draws"),
        ("costs $5", "costs $5"),
        ("  then\n  $$a\n  + b$$", "  then\n  \n\n  .. math:: a + b\n\n  "),
    ],
)
def test_docstrings_become_restructured_text(written, expected):
    assert rest(written) == expected


def test_formulas_become_mathml():
    made = mathml(r"\tfrac12 \lVert x \rVert", display=False)
    assert made.startswith("<math") and "<mfrac>" in made and "\\" not in made
    with pytest.raises(ValueError, match="nosuch"):
        mathml(r"\nosuch{x}", display=True)


def test_the_help_of_a_command_is_plain_text():
    text = help_of("train")
    assert "--optimizer" in text and "default: consensus" in text and "\x1b" not in text
    assert not any(line.endswith(" ") for line in text.splitlines())


def test_parts_of_files_are_put_in_with_their_links():
    text = section("README.md", "## First day")
    assert "make train" in text and "## In your own" not in text
    assert relinked("[a](docs/results/ring8.md)", "README.md", "first-day.md") == "[a](results/ring8.md)"
    assert relinked("[a](CONTRIBUTING.md)", "README.md", "api/index.md") == "[a](../project/contributing.md)"
    assert relinked("[a](https://x.org/b)", "README.md", "index.md") == "[a](https://x.org/b)"
    with pytest.raises(ValueError, match="no heading"):
        section("README.md", "## Nothing")


def test_a_comment_in_a_block_of_code_is_no_heading(tmp_path, monkeypatch):
    monkeypatch.setattr(repository_pages, "ROOT", tmp_path)
    (tmp_path / "A.md").write_text("# A\n## B\n```python\n# c\n## D\nx = 1\n```\n### E\nlast\n## D\nother\n")
    assert section("A.md", "## B") == "```python\n# c\n## D\nx = 1\n```\n### E\nlast\n"
    assert section("A.md", "## D") == "other\n"


def test_blocks_know_their_lines_and_errors_name_them(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# A\n\n<!-- given\nx = 1\n-->\n\n```python\nprint(x)\n```\n\n```text\n1\n```\n\n```python\n\n1 / 0\n```\n"
    )
    assert [(b.language, b.line) for b in blocks(page.read_text())] == [
        *(("given", 4), ("python", 8), ("text", 12), ("python", 16))
    ]
    running = run(page)
    assert next(running)[1] == "1\n"
    with pytest.raises(ZeroDivisionError) as error:
        next(running)
    assert error.traceback[-1].lineno + 1 == 17


def test_links_that_lead_nowhere_and_what_is_loaded_from_outside_are_found(tmp_path):
    (tmp_path / "a.html").write_text('<a id="here" href="#here"></a><a href="b.html#there"></a><a href="c.html"></a>')
    (tmp_path / "b.html").write_text('<script src="https://x.org/s.js"></script><a href="https://x.org"></a>')
    (tmp_path / "s.css").write_text('@import "//x.org/f.css";')
    assert findings(tmp_path) == [
        "a.html: b.html#there leads nowhere",
        "a.html: c.html leads nowhere",
        "b.html loads https://x.org/s.js from outside",
        "s.css loads //x.org/f.css from outside",
    ]


def test_flags_whose_two_hyphens_were_set_as_a_dash_are_found(tmp_path):
    (tmp_path / "a.html").write_text("<p>2\u20133 steps \u2013 of \u2013optimizer.lr 0.1 and --optimizer.lr</p>")
    assert findings(tmp_path) == ["a.html: \u2013optimizer.lr is no flag that can be copied"]


def test_shapes_are_what_their_names_say():
    found = {name: gt.analysis.spectrum(gt.analysis.jacobian(make(), None)).values for name, make in SHAPES.items()}
    assert (found["attracting"].real > 0.1).all() and (found["non-normal"].real > 0.5).all()
    assert abs(found["rotating"].real).max() < 1e-12 and abs(found["rotating"].imag).min() > 0.3
    assert (found["repelling"].real < -0.1).sum() == 6
    assert (abs(found["zero-cluster"]) < 1e-12).sum() == 16
    J = gt.analysis.jacobian(SHAPES["non-normal"](), None)
    assert gt.analysis.field_of_values(J).boundary.real.min() < -2


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_needs_nothing_from_outside(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", tmp_path / "trees", ROOT / "docs", tmp_path / "site"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert not findings(tmp_path / "site")
    shutil.rmtree(tmp_path / "site")
