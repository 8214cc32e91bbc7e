"""What the studies found: one table of claims, sources, our numbers with intervals, seeds and verdicts.

Reads the numbers beside the pages in docs/results; runs nothing. A verdict is a rule on these numbers, stated in its
row: an interval or a test that the claim passes, contradicts, or leaves open.

    python scripts/documentation/table_of_results.py
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "studies"))  # the studies are scripts, not a package

import auto
import esp_index
import integrators
import logic_gates
import projected_dynamics
import quantum_mixture
import ring8
from cells import esp_cells, logic_cells
from claims import FAILS, HOLDS, OPEN, Row, compared, more_than_half, ordered, read, within
from claims.diagnosis import diagnosis
from claims.images import image_rows
from claims.nets import nets as claims_of_nets
from claims.players import player_rows
from claims.sequences import loaded_rows, memory, unitary_rows
from claims.theory import theory_of_gans
from core_hours import hours
from harness.intervals import LEVEL, fraction
from users import loss_ratio

LONGER = {"first": "first bit"}


def ring(out: Path) -> list[Row]:
    """Consensus against simultaneous gradient."""
    results = read(ring8.STUDY, ring8.PAGE, out)
    found, verdicts, seeds = {}, set(), len(results.study.seeds)
    for base in ring8.BASES:  # seeds are independent, the base rules of one seed are not
        full = {m: results.estimate(f"{m}, {base}", "all modes") for m in ring8.METHODS}
        found[base] = "all 8 modes with a fraction of {} of the seeds, simultaneous {}".format(*full.values())
        verdicts.add(ordered(full["simultaneous"], full["consensus"]))
    if len(set(found.values())) == 1:
        text = f"{next(iter(found.values()))}, under each of {len(found)} base rules"
    else:
        text = "; ".join(f"{base}: {said}" for base, said in found.items())
    verdict = verdicts.pop() if len(verdicts) == 1 else OPEN
    claim = "On ring8 consensus covers more modes than simultaneous gradient"
    return [Row(claim, "arXiv:1705.10461", text, seeds, verdict, "ring8")]


def esp(out: Path) -> list[Row]:
    """The index of nets with ESP."""
    results = read(esp_index.STUDY, esp_index.PAGE, out)
    seeds = len(results.study.seeds)
    text, verdict = compared(results, "nonlinear, 10, esp", "nonlinear, 10, relu", "train", 1)
    sigmoid, theirs = (
        results.estimate("nonlinear, 10, sigmoid", "train"),
        esp_index.AUTHORS["nonlinear, 10"]["sigmoid"][0],
    )
    zero = {mark: results.estimate("nonlinear, 10, esp", f"gamma {mark}") for mark in esp_cells.MARKS}
    strict, *_, loose = zero.values()
    shares = [f"{'none' if part.high == 0 else part} to {mark.replace('e-0', 'e-')}" for mark, part in zero.items()]
    shares[0] += " of the largest"
    return [
        Row("ESP trains to a higher accuracy than ReLU", "arXiv:1805.08786", text, seeds, verdict, "esp_index"),
        Row(
            f"A sigmoid net gets no further than {theirs} (their data; ours are look-alikes)",
            "arXiv:1805.08786",
            str(sigmoid),
            seeds,
            HOLDS if sigmoid.high <= theirs else FAILS if sigmoid.low > theirs else OPEN,
            "esp_index",
        ),
        Row(
            "With ESP no eigenvalue of the Hessian is zero (depends on the tolerance)",
            "arXiv:1805.08786",
            ", ".join(shares),
            seeds,
            FAILS if strict.low > 0 else HOLDS if loose.high == 0 else OPEN,
            "esp_index",
        ),
    ]


def nets(out: Path) -> list[Row]:
    """Integrators and mixtures."""
    rows = []
    results = read(integrators.STUDY, integrators.PAGE, out)
    for points in integrators.TASKS:
        text, verdict = within(results, f"{points}, LM-ResNet, half the blocks", f"{points}, ResNet", "test", 0.01)
        alike, of_all = within(results, f"{points}, ResNet, half the blocks", f"{points}, ResNet", "test", 0.01)
        text += f"; so is a ResNet of half the blocks, {alike}" if verdict == of_all == HOLDS else ""
        rows.append(
            Row(
                f"An LM-ResNet of half the blocks is as accurate as a ResNet, within 0.01 ({points})",
                "arXiv:1710.10121",
                text,
                len(results.study.seeds),
                verdict,
                "integrators",
            )
        )
    results = read(quantum_mixture.STUDY, quantum_mixture.PAGE, out)
    pairs = [(a, b, column) for a, b in quantum_mixture.PAIRS for column in quantum_mixture.COLUMNS]
    seen = [results.contrast(*pair).mean for pair in pairs if results.seen(*pair)]
    text = f"{sum(x < 0 for x in seen)} errors lower, {sum(x > 0 for x in seen)} higher, {len(pairs) - len(seen)} alike"
    worse = FAILS if any(x > 0 for x in seen) else OPEN
    claim = "Wave-function mixtures estimate better than EM in every aspect"
    rows.append(Row(claim, "arXiv:1612.09199", text, len(results.study.seeds), worse, "quantum_mixture"))
    return rows


def gates(out: Path) -> list[Row]:
    """Logic gates."""
    rows = []
    results = read(logic_gates.STUDY, logic_gates.PAGE, out)
    solved, chance = results.estimate("xor, 2 relu", "solved"), logic_cells.most_frequent(4)
    seeds, tutorial = len(results.study.seeds), "after YJango's tutorial"
    rows.append(
        Row(
            "Two hidden ReLU units learn XOR from more than half of the starts (the half is ours)",
            tutorial,
            f"{solved} of the starts",
            seeds,
            more_than_half(solved),
            "logic_gates",
        )
    )
    unseen = {f: results.estimate(f"{f}, deep, 4 of 8", "unseen") for f in logic_gates.FUNCTIONS}
    words = ", ".join(f"{LONGER.get(f, f)} {part}" for f, part in unseen.items())
    every, no = all(part.low > 0.9 for part in unseen.values()), all(part.high < 0.9 for part in unseen.values())
    rows.append(
        Row(
            "A deep net learns a function of three bits from four of eight states: nine in ten of the others right "
            "(ours)",
            tutorial,
            f"{words}; the answer most frequent among the shown {chance:.3f}",
            seeds,
            HOLDS if every else FAILS if no else OPEN,
            "logic_gates",
        )
    )
    return rows


def ours(out: Path) -> list[Row]:
    """What this project asked itself."""
    results = read(auto.STUDY, auto.PAGE, out)
    modes = results.values("auto", "modes_covered")
    full = fraction(int((modes == 8).sum()), len(modes))
    text = f"{int((modes == 8).sum())} of {len(modes)} runs, {full}"
    rows = [
        Row("`auto` covers all 8 modes of ring8 without weight or rate given, in every run made", "ours", text,
            len(modes), HOLDS if full.mean == 1 else FAILS, "auto"),
    ]  # fmt: skip
    results = read(projected_dynamics.STUDY, projected_dynamics.PAGE, out)
    cells = [cell for cell in results.study.cells if not cell.startswith("linear")]
    met = sum(bool((results.values(cell, "error of rate within") >= 8).all()) for cell in cells)
    claim = (
        "Projections of the parameters alone give the step's leading rate within 5 % in 8 of 10 looks, in every cell"
    )
    verdict = HOLDS if met == len(cells) else FAILS
    rows.append(
        Row(claim, "ours", f"{met} of {len(cells)} cells", len(results.study.seeds), verdict, "projected_dynamics")
    )
    return rows


def tuning_by_hand(out: Path) -> list[Row]:
    """`auto` against users who tune by the losses, and who draw rates of consensus."""
    results = read(loss_ratio.STUDY, loss_ratio.PAGE, out)
    users, found, control = len(results.study.seeds), loss_ratio.sooner(results), loss_ratio.CONTROL
    words = {rule: f"than `{rule}` with {one.fewer} of {users} users, more with {one.more}, p = {one.p:.2g}"
             for rule, one in found.items()}  # fmt: skip
    rules = [found[rule] for rule in ("rate", "ratio")]
    fewer = all(one.p < LEVEL and one.fewer > one.more for one in rules)
    more = any(one.p < LEVEL and one.fewer < one.more for one in rules)
    text = f"fewer {words['rate']}; {words['ratio']} (sign tests, adjusted); fewer {words[control]}, a control"
    adam = [results.by_cell[rule] for rule in results.study.cells if rule not in ("auto", control)]
    if all(one["modes"] < 8 for users in adam for user in users.values() for one in user["history"]):
        text += "; no training with Adam was stable"
    claim = "On ring8 `auto` needs fewer trainings until a stable one than two rules by which people tune alternating "
    claim += "Adam by its losses"
    return [Row(claim, "ours", text, users, HOLDS if fewer else FAILS if more else OPEN, "loss_ratio")]


PAGE = """# Results

What was claimed, by whom, and what our runs say. A verdict is a rule on the numbers beside it: the interval or test
passes the claim, contradicts it, or leaves it open; "holds" is said of our runs, at the sizes and settings on their
page. Intervals are of 95 %, exact for fractions of runs; differences are paired by seed and adjusted for all that a
page compares. Rows that ask for equality within a margin, fractions of runs and the forecast are not adjusted
unless the row says so; a margin or threshold is ours unless the row says otherwise.

    python scripts/documentation/table_of_results.py

{table}

Studies without a row: [auto on digits](auto-digits.md) (one seed), [the index along
training](index_along_training.md).

{hours}
"""


def render(rows: Sequence[Row], hours: str) -> str:
    """Return the page of all rows, and the section of the core-hours."""
    head = ["claim", "source", "ours", "seeds", "verdict", "page"]
    lines = [[r.claim, r.source, r.found, str(r.seeds), r.verdict, f"[{r.page}]({r.page}.md)"] for r in rows]
    rule = ["---", "---", "---", "--:", "---", "---"]
    return PAGE.format(table="\n".join("| " + " | ".join(line) + " |" for line in (head, rule, *lines)), hours=hours)


def page(out: Path) -> str:
    """Return the page from the numbers in a folder."""
    return render(
        [
            *ring(out),
            *memory(out),
            *unitary_rows(out),
            *loaded_rows(out),
            *esp(out),
            *nets(out),
            *claims_of_nets(out),
            *gates(out),
            *ours(out),
            *tuning_by_hand(out),
            *player_rows(out),
            *image_rows(out),
            *theory_of_gans(out),
            *diagnosis(out),
        ],
        hours(out),
    )


def main() -> None:
    """Write docs/results/README.md from the numbers beside it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    out = parser.parse_args().out
    text = page(out)
    (out / "README.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
