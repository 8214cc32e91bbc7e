"""Core-hours of the studies, from the seconds that their results recorded, and what these leave out."""

import importlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import catalogue, study

ASKED = 16  # core-hours: eight hours of two cores
Numbers = Mapping[str, Mapping[str, Mapping[str, Any]]]  # results by cell and seed

SECTION = """## Core-hours

Seconds by the clock of all cells and seeds, and of what was tried for their settings, each computed on one thread of a
machine with two cores that did other work as well, in hours. Seeds that share a program share its time. What was
stopped and taken up again has the time of its last part, and what was done again counts once. The comparison of the
optimizers has a time for each step alone.

{table}

{total}"""


def hours(out: Path) -> str:
    """Return the section of the page for the numbers in a folder."""
    forms, rows, whole, partial = every_form(), [], 0.0, []
    for name, numbers in stored(out).items():
        own = [result["seconds"] for seeds in numbers.values() for result in seeds.values() if "seconds" in result]
        trials = of_trials(out / f"{name}-tuning.json")
        missing = [*left_out(forms.get(name), numbers), *([] if own else ["all"])]
        missing += ["trials of its tuning"] if any(map(math.isnan, trials)) else []
        partial += [name] if missing else []
        hours = (sum(own) + sum(one for one in trials if not math.isnan(one))) / 3600
        whole += hours
        page = name if (out / f"{name}.md").exists() else name.rpartition("-")[0]
        rows.append([f"[{name}]({page}.md)", str(len(own)), f"{hours:.2f}", "; ".join(missing)])
    return SECTION.format(
        table=study.markdown(["study", "results", "core-hours", "not recorded"], rows), total=told(whole, len(partial))
    )


def told(whole: float, partial: int) -> str:
    """Return the total in a sentence, and whether it is within what was asked for."""
    said = f"Together {whole:.1f} core-hours are recorded, which is {'within' if whole <= ASKED else 'more than'} the "
    said += f"{ASKED} of eight hours on two cores."
    if partial and whole <= ASKED:
        said += f" Of {partial} of these studies a part is not recorded, so whether all of it is within is not shown."
    return said


def stored(out: Path) -> dict[str, Numbers]:
    """Return the results in a folder by the names of their files, other numbers left out."""
    files = {path.stem: json.loads(path.read_text()) for path in sorted(out.glob("*.json"))}
    return {name: numbers for name, numbers in files.items() if all(isinstance(v, dict) for v in numbers.values())}


def every_form() -> dict[str, study.Study]:
    """Return every form of every study by its name."""
    found: dict[str, study.Study] = {}
    for path in catalogue.found().values():
        module = importlib.import_module(".".join(path.relative_to(catalogue.HERE).with_suffix("").parts))
        forms = [form if isinstance(form, study.Study) else form[0] for form in getattr(module, "FORMS", {}).values()]
        found |= {form.name: form for form in (module.STUDY, *forms)}
    return found


def of_trials(path: Path) -> list[float]:
    """Return the seconds of everything that was tried for a study's settings, NaN where they were not recorded."""
    tried = json.loads(path.read_text()) if path.exists() else {}
    return [trial.get("seconds", math.nan) for own in tried.values() for trial in own]


def left_out(form: study.Study | None, numbers: Numbers) -> list[str]:
    """Return what a study's seconds leave out: trainings of several seeds before its cells began."""
    results = [result for seeds in numbers.values() for result in seeds.values()]
    # Seeds were trained one by one, within their own seconds, until results had what they were made with.
    before = form and form.flags and any("made with" in one for one in results)
    return ["trainings of several seeds in one program"] if before and not any("training" in r for r in results) else []
