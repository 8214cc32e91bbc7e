"""Page of the ring of eight Gaussians: its tables and sentences, from one row of numbers for each run."""

from collections.abc import Callable

from harness.study_results import markdown
from scipy.stats import binomtest

METHODS = ("consensus", "simultaneous")

PAGE = """# Ring of eight Gaussians: consensus against simultaneous gradient

The experiment of The Numerics of GANs (Mescheder, Nowozin and Geiger 2017, arXiv:1705.10461) with its settings: eight
modes on the unit circle, sigma 0.01, stratified batches of 512, latents from N(0, I) in 16 dimensions, four hidden
layers of 16 ReLU units in both networks (2003 parameters), nonsaturating loss, RMSProp, learning rate 1e-4, gamma 10,
{steps} steps. Both flavours of RMSProp: PyTorch's, and TensorFlow 1's, which the authors ran.

    python scripts/studies/ring8_contrast.py

One run of it, by hand:

    {command}

## Samples

Cells are modes covered (of 8; a mode counts with at least 25 of 2560 samples within 0.1) and the fraction of samples
within 0.1 of a mode.

{modes}

{covered}

![Samples](ring8-samples.png)

## Spectra

Whole spectra at the last step, on one batch, in float64. J is the Jacobian of the field: positive real parts attract,
Mescheder's v' is -J. The size of its eigenvalues is that of the losses, which says nothing of stability, so every
column is free of it:

- **J / its largest modulus**: the strongest repulsion and the strongest rotation, relative to the largest eigenvalue.
- **h D^-1 J**: J in units of the step of RMSProp, h its learning rate, D the roots of its second moments. A plain
  step of that size multiplies an eigenvector by 1 - mu: it repels where Re mu < 0, and overshoots where |1 - mu| > 1.
- **update**: the spectral radius of the step that the method takes, consensus term and second moments included. Above 1
  some direction grows at this step.
- **zeros**: eigenvalues of J of modulus below 1e-8 (dead ReLU paths).

{spectra}

{said}

![Spectra](ring8-spectra.png)

Numbers: [ring8.json](ring8.json) ({versions}). Every run that was made is in the tables; none was drawn again.
"""


def modes_table(rows: list[dict]) -> str:
    """Return modes and quality of every run over its looks."""
    looks = sorted(rows[0]["looks"])
    lines = [
        [r["optimizer"], r["base"], str(r["seed"]), *(f"{r['looks'][s][0]}, {r['looks'][s][1]:.2f}" for s in looks)]
        for r in rows
    ]
    return markdown(["method", "base", "seed", *(f"{step} steps" for step in looks)], lines)


def spectra_table(rows: list[dict]) -> str:
    """Return the extremes of every run's spectra, none of which depends on the scale of the losses."""
    header = ["method", "base", "seed", "-min Re J / max abs J", "max abs Im J / max abs J", "Re of h D^-1 J"]
    header += ["max abs Im of h D^-1 J", "radius of the update", "zeros"]
    lines = [
        [r["optimizer"], r["base"], str(r["seed"]), f"{r['repulsion']:.2g}", f"{r['rotation']:.2g}"]
        + ["{:.2g} to {:.2g}".format(*r["followed_real"]), f"{r['followed_imaginary']:.2g}"]
        + [f"{r['radius']:.4g}", str(r["zeros"])]
        for r in rows
    ]
    return markdown(header, lines)


def covered(rows: list[dict]) -> str:
    """Return what the runs say of modes, with exact intervals of the fractions."""
    sentences = []
    for method in METHODS:
        modes = [r["final"][0] for r in rows if r["optimizer"] == method]
        full = sum(m == 8 for m in modes)
        interval = binomtest(full, len(modes)).proportion_ci(method="exact")
        sentences.append(
            f"{method.capitalize()} ends with all 8 modes in {full} of {len(modes)} runs (95 % interval of the "
            f"fraction {100 * interval.low:.0f} to {100 * interval.high:.0f} %); the fewest are {min(modes)}, the most "
            f"{max(modes)}."
        )
    return " ".join(sentences)


def extent(rows: list[dict], method: str, number: Callable[[dict], float]) -> str:
    """Return the least and the largest of a number over the runs of a method."""
    found = [number(r) for r in rows if r["optimizer"] == method]
    return f"{min(found):.3g} to {max(found):.3g}"


def said(rows: list[dict]) -> str:
    """Return the numbers of both methods side by side, without a word on which is better."""
    numbers: dict[str, Callable[[dict], float]] = {
        "the largest modulus of J": lambda r: r["largest"],
        "repulsion relative to it": lambda r: r["repulsion"],
        "rotation relative to it": lambda r: r["rotation"],
        "the least real part of h D^-1 J": lambda r: r["followed_real"][0],
        "the largest real part of h D^-1 J (a plain step overshoots from 1, and diverges from 2)": lambda r: r[
            "followed_real"
        ][1],
        "the largest imaginary part of h D^-1 J": lambda r: r["followed_imaginary"],
        "the spectral radius of the update": lambda r: r["radius"],
    }
    lines = [
        f"- {name}: {extent(rows, 'consensus', number)} after consensus, {extent(rows, 'simultaneous', number)} after "
        "simultaneous gradient"
        for name, number in numbers.items()
    ]
    return "Over the runs of each method:\n\n" + "\n".join(lines)
