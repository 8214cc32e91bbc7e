"""Complex networks trained against real ones, at equal parameters and at equal width: digits, and notes in music.

Deep Complex Networks (Trabelsi et al., arXiv:1705.09792) found complex residual networks competitive on images and
better on music transcription; others found no gain at equal capacity. Small forms of both: its residual network
(`gantools.networks.ComplexResNet`) on scikit-learn's digits, with CReLU, modReLU and zReLU; and, since MusicNet has
40 GB, which notes sound in windows of synthetic music, by one-dimensional convolutions on samples and on spectra. The
music is not real: chord progressions of four voices by a plain rule, each note a sum of six decaying harmonics of
random loudness, brightness and phase, and white noise (`scripts/studies/cells/nets/music.py`). MNIST's digits, and
Bach's chorales played by a synthesizer, are forms with pages of their own, `complex_classifier_mnist.md` and
`complex_classifier_chorales.md`.

    python scripts/studies complex_classifier --jobs 2
    python scripts/studies complex_classifier --mnist      (needs the extra mnist)
    python scripts/studies complex_classifier --chorales   (needs the extra chorales, FluidSynth and a sound font)
    python scripts/studies complex_classifier --quick
"""

from collections.abc import Mapping

import numpy as np
from cells.nets import chorale_cells, chorales, complex_cells
from harness import study
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NETS = {
    "real": {"activation": "relu", "filters": 9}, "real, equal width": {"activation": "relu", "filters": 6},
    **{f"complex, {name}": {"activation": name, "filters": 6} for name in ("crelu", "modrelu", "zrelu")},
}  # fmt: skip
LISTENERS = {
    "audio, real": {"input": "audio", "activation": "relu", "width": 10},
    "audio, real, equal width": {"input": "audio", "activation": "relu", "width": 6},
    "audio, complex": {"input": "audio", "activation": "crelu", "width": 6},
    "spectra, real": {"input": "spectra", "activation": "relu", "width": 11},
    "spectra, real, equal width": {"input": "spectra", "activation": "relu", "width": 6},
    "spectra, complex": {"input": "spectra", "activation": "crelu", "width": 6},
    "spectra, complex, modrelu": {"input": "spectra", "activation": "modrelu", "width": 6},
    "magnitudes, real": {"input": "magnitudes", "activation": "relu", "width": 11},
}
COLOURS = {"real": "#0072b2", "complex": "#d55e00", "magnitudes": "#009e73"}
SINGERS = {
    "real": {"activation": "relu", "width": 12}, "real, equal width": {"activation": "relu", "width": 6},
    **{f"complex, {name}": {"activation": name, "width": 6} for name in ("crelu", "modrelu", "zrelu")},
    "real, magnitudes": {"input": "magnitudes", "activation": "relu", "width": 12},
}  # fmt: skip
SHADES = ("#0072b2", "#56b4e9", "#d55e00", "#cc79a7", "#e69f00", "#009e73")


def pictured(task: str, steps: int) -> dict[str, study.Cell]:
    """Return the cells of images."""
    common = {"task": task, "blocks": 1, "steps": steps, "rate": 0.02, "beside": {"filters": 9}}
    return {f"{task}, {name}": {**common, **net} for name, net in NETS.items()}


def cells(digits: int, audio: int, spectra: int, pieces: int) -> dict[str, study.Cell]:
    """Return the cells of both tasks."""
    sounds = {"task": "notes", "pieces": pieces, "rate": 3e-3}
    found: dict[str, study.Cell] = pictured("digits", digits)
    for name, net in LISTENERS.items():
        steps, width = (audio, 10) if net["input"] == "audio" else (spectra, 11)
        found[name] = {**sounds, "steps": steps, "beside": {"width": width}, **net}
    return found


def verdict(results: study.Results) -> list[str]:
    """Return the paper's claims, each with the numbers that support it or do not."""
    return [
        *competitive(results, "digits"),
        "Claim (the same): complex networks transcribe music better than real ones of as many parameters.",
        results.difference("audio, complex", "audio, real", "precision"),
        results.difference("spectra, complex", "spectra, real", "precision"),
        "With the phases, which are random in this music, left out: "
        + results.difference("magnitudes, real", "spectra, complex", "precision"),
        "A step takes, against that of the real network, "
        + "; ".join(taken(results, f"{kind}, {net}", f"{kind}, real") for kind, net in
                    (("digits", "complex, crelu"), ("audio", "complex"), ("spectra", "complex"))) + ".",
    ]  # fmt: skip


def competitive(results: study.Results, task: str) -> list[str]:
    """Return the paper's claim on images, with the numbers that support it or do not."""
    complexes = [f"{task}, {name}" for name in NETS if "complex" in name]
    return [
        "Claim (arXiv:1705.09792): complex networks are competitive on images.",
        *(results.difference(name, f"{task}, real", "accuracy") for name in complexes),
    ]


def taken(results: study.Results, cell: str, beside: str, on: str = "") -> str:
    """Return how long a step takes, in words, with what the real network takes beside itself, which should be 1."""
    times, own = results.mean(cell, "step"), results.mean(beside, "step")
    least, most = (f"{found:.2g}" for found in sorted((times, times / own)))
    return (
        f"about {least if least == most else f'{least} to {most}'} times on {on or cell.split(', ')[0]} "
        f"(measured {results.shown(cell, 'step')}; the real network beside itself gives "
        f"{results.shown(beside, 'step')} in place of 1)"
    )


def precision_recall(results: study.Results) -> Figure | None:
    """Draw precision over recall for samples and for spectra; none where no result has the curves."""
    figure = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), ("audio", "spectra"), strict=True):
        shown = [name for name in LISTENERS if name in (f"{kind}, real", f"{kind}, complex")]
        shown += ["magnitudes, real"] if kind == "spectra" else []
        colours = {name: COLOURS[name.split(", ")[0 if "magnitudes" in name else 1]] for name in shown}
        if not draw_curves(axes, results, colours):
            return None
        axes.set(xlabel="recall", title=f"notes from {kind}", ylim=(0, 1.02))
        axes.legend(loc="lower left")
    figure.axes[0].set_ylabel("precision")
    return figure


def draw_curves(axes: Axes, results: study.Results, colours: Mapping[str, str], ranges: bool = True) -> bool:
    """Draw precision over recall of cells, mean and perhaps range of the seeds; return whether all have curves."""
    for name, colour in colours.items():
        runs = [r["curves"]["precision"] for r in results.by_cell.get(name, {}).values() if "curves" in r]
        if not runs:
            return False
        values = np.array(runs)
        axes.plot(complex_cells.RECALLS, values.mean(0), color=colour, label=name)
        if ranges:
            axes.fill_between(complex_cells.RECALLS, values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
    axes.grid(alpha=0.3)
    return True


DIGITS = {"parameters": "parameters", "accuracy": "test acc.", "step": "time of a step"}
MUSIC = {"parameters": "parameters", "precision": "average precision", "chance": "chance", "step": "time of a step"}
STUDY = study.Study(
    "complex_classifier",
    complex_cells.run,
    cells(100, 400, 100, 60),
    {**DIGITS, **MUSIC},
    quick=cells(3, 3, 3, 6),
    bounds=dict.fromkeys(("accuracy", "precision"), (0.0, 1.0)),
)


def image_section(task: str, heading: str, more: str = "") -> study.Section:
    """Return the section of a page for a task of images."""
    return study.Section(
        f"""## {heading}

Residual networks of two stages and one block, 9 real filters or 6 complex ones (equal parameters), 6 real ones (equal
width), batch norm, {{steps}} steps of Adam from 2e-2 to 2e-3 on batches of 64; three quarters of the digits for
training. The time of a step is the processor's, relative to that of the real network of equal parameters in the same
process (median); beside itself that network should give 1, and what it gives shows how far to trust the others.
{{seeds}} seeds, mean and 95 % interval.{more}""",
        DIGITS,
        where=lambda cell: cell["task"] == task,
        figures={task: (heading, study.Results.figure)},
        pairs=[(f"{task}, {name}", f"{task}, {other}") for name in NETS if "complex" in name
               for other in ("real", "real, equal width")],
        compared=("accuracy",),
    )  # fmt: skip


SECTIONS = [
    image_section("digits", "Digits"),
    study.Section(
        """## Notes in synthetic music

Which of 25 notes sound in a window of 0.256 s at 4 kHz, from {pieces} pieces of 16 chords, tested on 20 other ones.
Three convolutions and a linear map; inputs are the samples, the lowest 256 bins of the spectrum as complex numbers (a
real network takes their parts as two channels), or their magnitudes. {steps} steps of Adam, from 3e-3 to 3e-4 on
batches of 64. Average precision over all windows and notes; chance is the share of notes that sound.""",
        MUSIC,
        where=lambda cell: cell["task"] == "notes",
        figures={"notes": ("Precision over recall", precision_recall)},
        pairs=[
            ("audio, complex", "audio, real"), ("audio, complex", "audio, real, equal width"),
            ("spectra, complex", "spectra, real"), ("spectra, complex", "spectra, real, equal width"),
            ("spectra, complex, modrelu", "spectra, complex"), ("magnitudes, real", "spectra, complex"),
        ],
        compared=("precision",),
    ),
]  # fmt: skip
PAGE = study.Page("Complex classifiers", __doc__, SECTIONS, verdict)

# MNIST ---------------------------------------------------------------------------------------------------------------

MNIST_TOLD = """Complex residual networks trained against real ones on 5000 of MNIST's digits.

The same networks as on scikit-learn's digits (`complex_classifier.md`), on images of 28 x 28 pixels, the data set
`mnist5k` of the extra mnist: `pip install -e ".[mnist]"`."""
MNIST = study.Study(
    "complex_classifier_mnist",
    complex_cells.run,
    pictured("mnist", 200),
    DIGITS,
    quick=pictured("mnist", 2),
    bounds={"accuracy": (0.0, 1.0)},
)
FEW = " One rate was tried, and {steps} steps are few: nothing is said of nets that are trained longer or tuned."
MNIST_SECTION = image_section("mnist", "MNIST's digits", FEW)


def pictures_named(results: study.Results) -> list[str]:
    """Return the paper's claim with the numbers that support it or do not, and what a step takes."""
    said = taken(results, "mnist, complex, crelu", "mnist, real")
    return [*competitive(results, "mnist"), f"A step takes, against that of the real network, {said}."]


# Chorales ------------------------------------------------------------------------------------------------------------

TOLD = """Complex networks trained against real ones to hear the notes of Bach's chorales, played by a synthesizer.

MusicNet's task (Trabelsi et al., arXiv:1705.09792: which notes sound in the middle of a window, from its spectrum) in
small. Scores are music21's, of four voices, no two whose melodies begin alike; FluidSynth plays each with a tempo, an
ensemble and loudnesses drawn for it, with its reverberation, by the first General MIDI sound font that is found, here
TimGM6mb. So the sounds are sampled instruments that a program plays in strict time: neither MusicNet's recordings nor
tones by a formula. None of it is in the repository (`scripts/studies/cells/nets/chorales.py`), and what is played is
kept in runs/chorales, 130 MB: `pip install -e ".[chorales]"`, and on Debian
`apt-get install fluidsynth timgm6mb-soundfont`."""


def sung(source: str, pieces: int, windows: int, steps: int) -> dict[str, study.Cell]:
    """Return the cells of the chorales, or of our own tones in their place."""
    common = {"task": "chorales", "music": source, "pieces": pieces, "windows": windows, "steps": steps}
    common |= {"input": "spectra", "rates": (1e-2, 2e-2, 4e-2), "beside": {"width": 12}}
    return {name: {**common, **net} for name, net in SINGERS.items()}


def heard(results: study.Results) -> list[str]:
    """Return the paper's claim with the numbers that support it or do not, and which rates were chosen."""
    complexes = [name for name in SINGERS if name.startswith("complex")]
    chosen, tried = [], next(iter(results.study.cells.values()))["rates"]
    for name in results.study.cells:
        rates = results.values(name, "rate")
        chosen.append(f"{name} {', '.join(f'{r:g} ({(rates == r).sum()})' for r in np.unique(rates))}")
    return [
        "Claim (arXiv:1705.09792): complex networks transcribe music better than real ones of as many parameters.",
        *(results.difference(name, "real", "precision") for name in complexes),
        "Against real networks of equal width, which have half the parameters:",
        *(results.difference(name, "real, equal width", "precision") for name in complexes),
        "With the phases left out: " + results.difference("real, magnitudes", "real", "precision"),
        f"Rates that validation chose, with the number of seeds: {'; '.join(chosen)}. Those tried end at "
        f"{min(tried):g} and {max(tried):g}; where these are chosen, a wider grid may do better.",
        f"A step takes, against that of the real network, {taken(results, 'complex, crelu', 'real', 'spectra')}.",
    ]


def chorale_curves(results: study.Results) -> Figure | None:
    """Draw precision over recall of all cells, and nearer the means of those that lie together; none without curves."""
    figure = Figure(figsize=(9, 4.2), dpi=110, layout="constrained")
    shades = dict(zip(SINGERS, SHADES, strict=True))
    whole, near = figure.subplots(1, 2)
    together = {name: colour for name, colour in shades.items() if name not in ("complex, modrelu", "complex, zrelu")}
    if not (draw_curves(whole, results, shades) and draw_curves(near, results, together, ranges=False)):
        return None
    whole.axhline(results.mean("real", "chance"), color="#6b7280", linestyle=":", label="chance")
    whole.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), title="mean and range of the seeds")
    near.set(xlabel="recall", xlim=(0.7, 0.96), ylim=(0.5, 0.95), title="means that lie together, nearer")
    for axes, corner in ((whole, (0.02, 0.13)), (near, (0.02, 0.02))):
        axes.legend(loc="lower left", bbox_to_anchor=corner, fontsize=8)
    return figure


def average_precision(results: study.Results) -> Figure:
    """Draw the average precision of all cells, seed by seed."""
    return results.part(results.study.cells, {"precision": MUSIC["precision"]}).figure()


SUNG = {key: MUSIC[key] for key in ("parameters", "precision", "chance", "step")}
CHORALES = study.Study(
    "complex_classifier_chorales",
    chorale_cells.run,
    sung("chorales", 120, 60, 200),
    {**SUNG, "validation": "average precision, validation"},
    quick=sung("tones", 6, 8, 3),
    bounds=dict.fromkeys(("precision", "validation"), (0.0, 1.0)),
)
CHORALE_SECTION = study.Section(
    f"""## Notes in chorales

Which of {chorales.NOTES} notes sound in the middle of a window of {chorales.WINDOW / chorales.RATE:.3f} s at
{chorales.RATE} Hz: {{windows}} windows of each of {{pieces}} pieces, which each seed divides anew, two thirds to train,
a sixth for validation, a sixth for the test. Inputs are the lowest {chorales.BINS} bins of the spectrum as complex
numbers (a real network takes their parts as two channels) or their magnitudes; three convolutions and a linear map.
{{steps}} steps of Adam on batches of 64, down to a tenth of the rate; each net is trained with the rates 1e-2, 2e-2
and 4e-2, and the one of the best average precision in validation is judged. Average precision is over all windows and
notes together (micro), as MusicNet has it; chance is the share of notes that sound. {{seeds}} seeds, mean and 95 %
interval, which are of starts, batches and divisions of the same pieces, and not of other music. {{steps}} steps are
few: nothing is said of nets that are trained longer.""",
    SUNG,
    figures={"curves": ("Precision over recall", chorale_curves),
             "precision": ("Average precision", average_precision)},
    pairs=[*((f"complex, {name}", other) for name in ("crelu", "modrelu", "zrelu")
             for other in ("real", "real, equal width")), ("real, magnitudes", "real")],
    compared=("precision",),
)  # fmt: skip
FORMS = {
    "chorales": (CHORALES, study.Page("Complex classifiers on chorales", TOLD, [CHORALE_SECTION], heard)),
    "mnist": (MNIST, study.Page("Complex classifiers on MNIST's digits", MNIST_TOLD, [MNIST_SECTION], pictures_named)),
}
