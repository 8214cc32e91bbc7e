"""Convergence of a GAN and the spectrum of its step by the activation of its players.

The ring of eight Gaussians with the network of The Numerics of GANs, under consensus: each activation in the generator
alone, in the discriminator alone (ReLU in the other player), and in both; in both under simultaneous gradient too. Each
cell has a rate of its own, and under consensus a gamma, chosen by trials as long as the runs. (A first round, not kept,
had trials of 1000 steps; after its runs had been seen it was made again with these. 11 of the 22 choices changed, 6 of
them from a larger rate.) Classifiers with the same activations are in esp_index.py.

    python scripts/studies/activations.py --jobs 2
    python scripts/studies/activations.py --quick
    tensorboard --logdir runs/activations
"""

from cells import gan_steps
from harness import study
from matplotlib.figure import Figure

ACTIVATIONS = {"relu": "relu", "leaky_relu": "leaky_relu", "tanh": "tanh", "sigmoid": "sigmoid", "silu": "silu",
               "esp": "esp(learned=True)"}  # fmt: skip
STEPS, EARLY = 2500, 1000
PLAYERS = ("generator", "discriminator")
IN_BOTH = {"consensus": "in both", "simultaneous": "in both, simultaneous"}
BY_METHOD = [(f"{name} {IN_BOTH['consensus']}", f"{name} {IN_BOTH['simultaneous']}") for name in ACTIVATIONS]


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    return gan_steps.ring8(cell, seed, *(w for p in PLAYERS for w in (f"--network.{p}-activation", cell[p])))


def cells(names: dict[str, str], **settings: object) -> dict[str, study.Cell]:
    """Return where each activation goes, and under which method."""
    found: dict[str, study.Cell] = {}
    for name, spec in names.items():
        for where in ("both", *PLAYERS) if name != "relu" else ("both",):
            placed = {player: spec if where in ("both", player) else "relu" for player in PLAYERS}
            found[f"{name} in {where}"] = {"optimizer": "consensus", **placed}
        found[f"{name} {IN_BOTH['simultaneous']}"] = {"optimizer": "simultaneous", **dict.fromkeys(PLAYERS, spec)}
    return {name: {**gan_steps.UNTUNED, **settings, **cell} for name, cell in found.items()}


def in_both(results: study.Results) -> Figure:
    """Draw the modes over the steps where both players have the same activation."""
    chosen = [cell for cell in results.study.cells if "in both" in cell]
    return results.part(chosen, results.study.columns).curves("modes_covered")


STUDY = gan_steps.tuned_study(
    "activations",
    flags,
    cells(ACTIVATIONS, steps=STEPS, shorter=STEPS, width=16, every=500, spectra=3, at=(EARLY, STEPS)),
    {**gan_steps.COLUMNS, "gamma": "gamma"},
    quick=cells({"tanh": "tanh"}, steps=20, shorter=10, width=4, every=10, spectra=1, at=(10, 20)),
    seeds=range(10),
    tuning=gan_steps.tuning(
        STEPS, "The rule, its score written before any run, the length of its trials after a first round"
    ),
)
SECTION = study.Section(
    gan_steps.SETTINGS + gan_steps.EXPLAINED,
    figures={
        "all": gan_steps.FIGURES["all"],
        "modes": ("Modes over the steps, the same activation in both players, mean and range of the seeds", in_both),
    },
    pairs=[
        *((f"{name} {both}", f"relu {both}") for both in IN_BOTH.values() for name in ACTIVATIONS if name != "relu"),
        *BY_METHOD,
    ],
    compared=("modes", "quality"),
)


def verdict(results: study.Results) -> list[str]:
    """Return what is seen of the methods with each activation, and at which steps the steps are transient."""
    counts = [
        f"{consensus}: all 8 modes with {results.shown(consensus, 'all')} of the seeds under consensus, "
        f"{results.shown(plain, 'all')} under simultaneous gradient."
        for consensus, plain in BY_METHOD if consensus in results.study.cells
    ]  # fmt: skip
    seen = [results.difference(*one) for one in SECTION.comparisons(results) if one[:2] in BY_METHOD]
    return [*counts, *seen, *gan_steps.transience(results)]


PAGE = study.Page("Activations in the players of a GAN", __doc__, [SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
