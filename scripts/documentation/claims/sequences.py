"""What the studies of recurrent nets and associative memories say of published claims, as rows of the table."""

from pathlib import Path

import associative_memory
import unitary_memory
from cells import memory_cells
from harness import study
from sequences import loaded_memory, unitary_tasks

from claims import FAILS, HOLDS, OPEN, Row, compared, read


def memory(out: Path) -> list[Row]:
    """Recurrent nets that copy, and associative memories."""
    rows = []
    for form in (unitary_memory.STUDY, unitary_memory.LONG_STUDY):
        results = read(form, unitary_memory.PAGE, out)
        loss = results.estimate("uRNN", "ratio"), results.estimate("LSTM", "ratio")
        delay = form.cells["uRNN"]["delay"]
        rows.append(
            Row(
                f"A uRNN copies over a delay of {delay} where an LSTM does not: loss below the memoryless one",
                "arXiv:1511.06464",
                f"uRNN {loss[0]}, LSTM {loss[1]} of it",
                len(results.study.seeds),
                HOLDS if loss[0].high < 1 <= loss[1].high else OPEN if loss[0].high < 1 else FAILS,
                form.name,
            )
        )
    results = read(associative_memory.STUDY, associative_memory.PAGE, out)
    for task in associative_memory.TASKS:
        for cell, baseline in (("8 copies", "1 copy"), ("1 copy", "LSTM")):
            text, verdict = compared(results, f"{task}, {cell}", f"{task}, {baseline}", "area", -1)
            claim = f"An associative LSTM learns {task} sooner with {cell} than "
            claim += "with one" if baseline == "1 copy" else "an LSTM does"
            seeds = len(results.study.seeds)
            rows.append(
                Row(claim, "arXiv:1602.03032", f"mean loss in training {text}", seeds, verdict, "associative_memory")
            )
    return rows


def unitary_rows(out: Path) -> list[Row]:
    """Unitary nets beyond copying."""
    results = read(unitary_tasks.STUDY, unitary_tasks.PAGE, out)
    seeds, page = len(results.study.seeds), unitary_tasks.STUDY.name
    text, verdict = compared(results, "denoising, GORU", "denoising, uRNN", "ratio", -1)
    learned = {net: int(results.values(f"denoising, {net}", "reached").sum()) for net in ("GORU", "uRNN")}
    text += "; learned, below a tenth of the memoryless loss, with " + ", ".join(
        f"{number} of {seeds} seeds ({net})" for net, number in learned.items()
    )
    steps = results.study.cells["denoising, GORU"]["steps"]
    rows = [Row(f"GORU denoises better than a uRNN after {steps} steps", "arXiv:1706.02761",
                f"loss / memoryless {text}", seeds, verdict, page)]  # fmt: skip
    loss = {net: results.estimate(f"adding, {net}", "ratio") for net in ("uRNN", "LSTM")}
    below, above = all(e.high < 1 for e in loss.values()), any(e.low > 1 for e in loss.values())
    rows.append(Row("A uRNN and an LSTM both add better than without memory", "arXiv:1511.06464",
                    f"uRNN {loss['uRNN']}, LSTM {loss['LSTM']} of the memoryless loss", seeds,
                    HOLDS if below else FAILS if above else OPEN, page))  # fmt: skip
    small = {net: unitary_tasks.smallest(results, net) for net in ("KRU", "full unitary")}
    numbers = {net: results.mean(cell, "recurrent") for net, cell in small.items() if cell}
    words = ", ".join(f"{net} {numbers[net]:.0f}" if net in numbers else f"{net} never" for net in small)
    fewer = numbers.get("KRU", float("inf")) < numbers.get("full unitary", float("inf"))
    claim = "KRU learns copying with fewer recurrent numbers than a full unitary matrix, with every seed, of the sizes "
    claim += "tried"
    verdict = HOLDS if len(numbers) == 2 and fewer else FAILS if "full unitary" in numbers else OPEN
    rows.append(Row(claim, "arXiv:1705.10142", words, seeds, verdict, page))
    results = read(unitary_tasks.DIGITS, unitary_tasks.PAGE, out)
    text, verdict = compared(results, "digits, uRNN", "digits, LSTM", "accuracy", 1)
    claim = "A uRNN learns pixel digits sooner than an LSTM (7 x 7 pixels, accuracy after 250 steps, one untuned rate)"
    rows.append(Row(claim, "ours", f"uRNN against LSTM {text}", seeds, verdict, unitary_tasks.DIGITS.name))
    return rows


def loaded_rows(out: Path) -> list[Row]:
    """Associative memories loaded until they break."""
    results = read(loaded_memory.STUDY, loaded_memory.PAGE, out)
    seeds, paper, page = len(results.study.seeds), "arXiv:1602.03032", loaded_memory.STUDY.name
    text, verdict = compared(results, "8 copies", "1 copy", "breaks", 1)
    rows = [
        Row("A learned memory of 8 copies holds more pairs than one of a single copy", paper,
            f"pairs at which it breaks: {text}", seeds, verdict, page),
    ]  # fmt: skip
    return [*rows, of_two_pairs(results), *random_keys(results)]


def of_two_pairs(results: study.Results) -> Row:
    """An associative LSTM against an LSTM, where the pairs are two."""
    more, verdict = compared(results, "1 copy", "LSTM", "at 2", 1)
    breaks, _ = compared(results, "1 copy", "LSTM", "breaks", 1)
    words = f"{results.shown('1 copy', 'at 2')} against {results.shown('LSTM', 'at 2')}, {more}"
    words += f"; breaks, interpolated between loads, {breaks} pairs later"
    # Counting values without their keys gets this many right.
    if results.estimate("LSTM", "at 2").low <= memory_cells.most_frequent(2, loaded_memory.VALUES):
        words += " (the LSTM recalls no more than counting values gets)"
    claim = f"After {results.study.cells['LSTM']['steps']} steps an associative LSTM of one copy recalls more of two "
    claim += "pairs than an LSTM of as many units"
    seeds = len(results.study.seeds)
    return Row(claim, "after arXiv:1602.03032", words, seeds, verdict, loaded_memory.STUDY.name)


def random_keys(results: study.Results) -> list[Row]:
    """Where memories of random keys break, against the theory before a first run and the one after it."""
    cells = {name: cell for name, cell in results.study.cells.items() if cell["kind"] == "bare"}
    found = {name: results.estimate(name, "breaks") for name in cells}
    seeds, rows = len(results.study.seeds), []
    for sums, formula in ((False, "(N - 1) / S"), (True, "(N - 1) ((1 - 1/M) / S + 1/M)")):
        law = {name: loaded_memory.breaks_in_theory(cell["copies"], sums) for name, cell in cells.items()}
        near = all(abs(found[name].mean / law[name] - 1) <= 0.1 for name in cells)
        words = ", ".join(f"{found[name]} ({law[name]:.1f})" for name in cells)
        words = f"at {words} pairs in {', '.join(str(cell['copies']) for cell in cells.values())} copies (in theory)"
        words += "; not a test: derived after a first run" if sums else ""
        claim = f"Memories of random keys break within 10 % of the pairs that noise of {formula} says"
        verdict = OPEN if sums else HOLDS if near else FAILS
        rows.append(Row(claim, "ours", words, seeds, verdict, loaded_memory.STUDY.name))
    return rows
