"""Whether what is said of GANs on a ring holds on images: handwritten digits of 28 x 28 pixels, and faces of 25 x 25.

Consensus against simultaneous gradient, and both against alternating gradient with R1, the usual way; activations of
both players under consensus; and complex and unitary generators under simultaneous gradient, against a real one of as
many real units. Players are small and fully connected and trainings short: what is compared is how far each comes in
as many steps, with as many settings tried. The digits need the extra "mnist", the faces "faces"
(`pip install -e ".[mnist,faces]"`).

    python scripts/studies image_gans --jobs 2
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from cells import gan_steps
from harness import study
from images import trained
from images.splits import DRAWS, HELD, LEAST
from matplotlib.figure import Figure

DATA = {"digits": "mnist5k", "faces": "faces"}
BATCH = {"digits": 64, "faces": 32}
COMPARED = {"digits": "coverage", "faces": "log kernel"}
WORDS = {"digits": "digits of 28 x 28 pixels", "faces": "75 faces of 25 x 25 pixels"}
STEPS, SHORTER, WIDTH, LOOKS = 1500, 500, 128, 6
RELU = {"generator": "mlp", "activation": "relu"}
UNITS = {"tanh": "tanh", "sigmoid": "sigmoid", "esp": "esp(learned=True)"}
NETWORKS = {"complex": "complex_mlp", "unitary": "unitary_mlp"}
CELLS: Mapping[str, Mapping[str, str]] = {
    **{name: {"optimizer": name, **RELU} for name in ("consensus", "simultaneous", "alternating")},
    **{f"consensus, {name}": {"optimizer": "consensus", **RELU, "activation": unit} for name, unit in UNITS.items()},
    **{f"simultaneous, {name}": {"optimizer": "simultaneous", **RELU, "generator": n} for name, n in NETWORKS.items()},
}
PAIRS = [
    ("consensus", "simultaneous"), ("consensus", "alternating"), ("alternating", "simultaneous"),
    *((f"consensus, {name}", "consensus") for name in UNITS),
    *((f"simultaneous, {name}", "simultaneous") for name in NETWORKS),
    ("simultaneous, unitary", "simultaneous, complex"),
]  # fmt: skip
# Six settings for every cell: rates alone, or rates times weights of consensus or of R1.
RATES = {"simultaneous": (1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3), "consensus": (5e-4, 1e-3, 2e-3),
         "alternating": (5e-4, 1e-3, 2e-3)}  # fmt: skip
WEIGHTS = {"consensus": ("gamma", (0.03, 0.3)), "alternating": ("r1", (0.1, 1.0))}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    return trained.together(cell, [seed])[seed]


def cells(steps: int, names: Mapping[str, Mapping[str, str]] = CELLS, **settings: object) -> dict[str, study.Cell]:
    """Return every cell on both data sets; rates and weights stand for those that are chosen."""
    found: dict[str, study.Cell] = {}
    for data, source in DATA.items():
        for name, cell in names.items():
            first = {"data": source, "batch": BATCH[data], "steps": steps, "at": (steps,), **settings}
            found[f"{data}, {name}"] = {**cell, **first}
            found[f"{data}, {name}"] |= grid(found[f"{data}, {name}"])[0]
    return found


def grid(cell: study.Cell) -> list[study.Cell]:
    """Return the settings that are tried in a cell."""
    method = cell["optimizer"]
    if method not in WEIGHTS:
        return [{"lr": rate} for rate in RATES[method]]
    name, values = WEIGHTS[method]
    return [{"lr": rate, name: value} for rate in RATES[method] for value in values]


def shorter(cell: study.Cell) -> study.Cell:
    """Return what a cell's trials have instead of its own settings."""
    return {"steps": cell["shorter"], "every": max(1, cell["shorter"] // 2), "spectra": 0}


def score(result: study.Result) -> float:
    """Return what settings are chosen by: coverage of digits, minus the logarithm of the kernel distance of faces."""
    return result["coverage"] if result["data"] == DATA["digits"] else -result["log kernel"]


# The page ---------------------------------------------------------------------------------------------------------


def samples(results: study.Results) -> Figure | None:
    """Draw samples of the first seed of each cell, a row each."""
    found = {cell: own.get(0, {}).get("pictures") for cell, own in results.by_cell.items()
             if cell in results.study.cells}  # fmt: skip
    shown = {cell: pictures for cell, pictures in found.items() if pictures}
    if not shown:
        return None
    across = len(next(iter(shown.values())))
    figure = Figure(figsize=(0.62 * across + 2.2, 0.66 * len(shown)), dpi=110, layout="constrained")
    panels = figure.subplots(len(shown), across, squeeze=False)
    for row, (cell, pictures) in zip(panels, shown.items(), strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(np.array(picture), cmap="gray", vmin=0, vmax=255)
            axes.set(xticks=[], yticks=[])
        row[0].set_ylabel(cell.partition(", ")[2], rotation=0, ha="right", va="center", fontsize=9)
    return figure


def yardsticks(results: study.Results) -> list[str]:
    """Return what is measured of training images in place of samples, and of a Gaussian fitted to their pixels."""
    sentences = []
    for data in DATA:
        first = next(cell for cell in results.study.cells if cell.startswith(data))
        words = [f"{label} have coverage {results.shown(first, f'{name} coverage')} and log10 of the kernel distance "
                 f"{results.shown(first, f'{name} log kernel')}"
                 for name, label in (("data", "training images"), ("Gaussian", "draws of the Gaussian"))]  # fmt: skip
        sentences.append(f"Yardsticks, {data}: {'; '.join(words)}.")
    return sentences


def transient(results: study.Results) -> list[str]:
    """Return in how many of the seeds looked at each cell's last step is transient."""
    sentences = []
    for data in DATA:
        names = [name for name in results.study.cells if name.startswith(data)]
        step = max(step for name in names for step in results.study.cells[name]["at"])
        found = {name.partition(", ")[2]: results.values(name, f"radius at {step}") for name in names}
        counts = [f"{name} {(own > gan_steps.GROWS).sum()} of {(~np.isnan(own)).sum()}" for name, own in found.items()]
        sentences.append(f"Transient at step {step}, {data}, by seeds: {'; '.join(counts)}.")
    return sentences


def verdict(results: study.Results) -> list[str]:
    """Return the yardsticks, what is seen of every pair, and in how many seeds the last step is transient."""
    said = yardsticks(results)
    for section in SECTIONS:
        said += section.told(results)
    return said + transient(results)


COLUMNS = {"coverage": "coverage", "log kernel": "log10 kernel distance", "copied": "distance to training images",
           "lr": "rate", "gamma": "gamma", "r1": "weight of R1"}  # fmt: skip
SPECTRA = {name: gan_steps.COLUMNS[name] for name in ("max real", "least real", "real part", "imaginary", "radius")}
QUALITY = {name: COLUMNS[name] for name in ("coverage", "log kernel", "copied")}
STUDY = study.Study(
    "image_gans",
    run,
    cells(STEPS, shorter=SHORTER, width=WIDTH, every=STEPS // LOOKS, spectra=2),
    {**COLUMNS, **SPECTRA},
    quick=cells(4, {name: CELLS[name] for name in ("consensus", "simultaneous, unitary")},
                shorter=2, width=8, every=4, spectra=1),
    seeds=range(5),
    bounds={"coverage": (0.0, 1.0), "copied": (0.0, float("inf")), **gan_steps.BOUNDS},
    together=trained.together,
    tuning=study.Tuning(
        grid, (100, 101), score,
        f"The rule, written before any run of the study: on digits the highest mean coverage, on faces the lowest mean "
        f"log10 of the kernel distance, over these seeds and the later half of {SHORTER} steps; a run that diverged "
        "is the worst.",
        shorter, worst=-10.0,
    ),
)  # fmt: skip
# What a reader has to know of how the study was made.
MADE = """Before the study some trainings of seed 100 and 101 were looked at, and what they showed decided the sizes,
the rates and weights that are tried, the means over later looks, and what is compared: with RMSProp, the base rule of
the ring's pages, samples were saturated (perhaps by its first steps, which are ten times as long as later ones; that
was not tested), so that the base rule is Adam; consensus with a weight of 1 learned nothing in 750 steps; and kernel
distances of thumbnails of digits did not tell their mean image from them."""
DIGITS = f"""The digits are 5000 of MNIST's, of which another {HELD["mnist5k"]} are held out with each seed, as many of
each class. As many samples as that are compared with these, in the features that the library takes for labelled images:
the second hidden layer of a classifier that is trained on the other {5000 - HELD["mnist5k"]}. Coverage is the fraction
of images held out that have a sample within the distance of their fifth nearest among themselves; the kernel distance
is that of Binkowski et al. (arXiv:1801.01401), below {LEAST:g} taken as {LEAST:g}. Both are means over the looks in the
later half of the steps, every {{every}} steps, since such trainings go up and down. Features are not bounded, so that
distances of bad samples range over decades, and coverage is what is compared. The distance to training images, at the
end, is the median over samples of the distance to the nearest of them, in pixels, over that of the images held out:
near 0 where images are given back, and below 1 also where samples are blurred. {{seeds}} seeds, means with 95 %
intervals.

Players: {trained.DEPTH} hidden layers of {{width}} units each, latents of {trained.LATENT} numbers; ReLU but where a
cell names another activation, which both players have. Complex and unitary generators have {WIDTH // 2} complex units
with CReLU in each layer, which are {WIDTH} real ones, and the real discriminator; of a unitary one the map between its
two hidden layers is unitary, and both have 7 to 12 % fewer parameters than the real one. Batches of {{batch}},
{{steps}} steps, Adam with betas 0 and 0.99; alternating has R1. The spectra are of the first {{spectra}} seeds at step
{{steps}}, on one batch in float64, in units of the step: of the {gan_steps.LEADING} eigenvalues of largest modulus of h
D^-1 J, where J is the Jacobian of the players' field, h the rate and D the roots of the second moments, the largest
real part, the mean of real part over modulus and the largest imaginary part; of all, the least real part, which repels
below 0; and the spectral radius of the update that is taken, second moments, consensus term and penalty included: above
1 some direction grows. A step is called transient where that radius is above {gan_steps.GROWS}.

{MADE}"""
FACES = f"""The faces are the first 100 images of scikit-image's `lfw_subset`, of which another {HELD["faces"]} are held
out with each seed. Seventy-five images can be learned by heart, and {HELD["faces"]} tell little: the coverage is a mean
over {DRAWS["faces"]} draws of {HELD["faces"]} samples, reaches 1 for a Gaussian, and is shown only; the kernel distance
is what is compared. So this section can say which training goes wrong on a few images, and nothing of how good faces
are. Samples are compared as thumbnails of 8 x 8 pixels, as the library does without labels. Batches of {{batch}}; all
else is as with the digits. No samples are shown: a generator that has learned a person's picture by heart would give it
back."""


def section(data: str, text: str) -> study.Section:
    """Return the section of a data set."""
    figures = {
        f"{data}-all": ("By cell", lambda results: results.part(results.study.cells, QUALITY).figure()),
        f"{data}-curves": (f"{COLUMNS[COMPARED[data]]} over the steps, mean and range of the seeds".capitalize(),
                           lambda results: results.curves(COMPARED[data])),
    }  # fmt: skip
    if data == "digits":
        figures[f"{data}-samples"] = ("Samples of the first seed at the end, not selected", samples)
    return study.Section(
        text,
        where=lambda cell: cell["data"] == DATA[data],
        figures=figures,
        pairs=[(f"{data}, {cell}", f"{data}, {baseline}") for cell, baseline in PAIRS],
        compared=(COMPARED[data],),
    )


SECTIONS = [section("digits", DIGITS), section("faces", FACES)]
PAGE = study.Page("GANs of images", __doc__, SECTIONS, verdict)
