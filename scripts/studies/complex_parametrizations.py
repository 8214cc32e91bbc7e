"""Whether unitary maps steady a GAN: players with them, against controls that differ in one thing by design.

The ring of eight Gaussians under simultaneous gradient. A complex unit with CReLU is two real units with ReLU, and a
unitary map of 12 complex numbers is an orthogonal map of 24 real ones that commutes with multiplication by i. So the
controls, which differ in one thing by design, and in parameters (1563 to 2427) and chosen rate besides, are: the same
complex players with free weights; real players of 24 units with orthogonal maps; and real players with as many
parameters. All are fully connected, with four hidden layers; unitary and orthogonal maps are those between hidden
layers. The form --long trains for 10 000 steps, and adds real players of 24 units with free weights, and complex ones
whose free weights begin unitary; --consensus is the same under consensus, its gamma chosen too.

    python scripts/studies/complex_parametrizations.py --jobs 2
    python scripts/studies/complex_parametrizations.py --long --jobs 2
    python scripts/studies/complex_parametrizations.py --consensus --jobs 2
    python scripts/studies/complex_parametrizations.py --quick
    tensorboard --logdir runs/complex_parametrizations
"""

import dataclasses
from pathlib import Path

from cells import gan_steps
from harness import study

STEPS, SHORTER = 2000, 1000
# Network, hidden units of each of the four layers, activation, first weights; a complex unit has two numbers.
UNITARY, FREE = "unitary CReLU, 12 complex", "complex CReLU, 12 complex"
BEGUN = "complex CReLU, 12 complex, begun unitary"
ORTHOGONAL, WIDE, EQUAL = "orthogonal ReLU, 24 real", "real ReLU, 24 real", "real ReLU, 14 real"
NETWORKS = {
    UNITARY: ("unitary_mlp", 12, "crelu", ""), EQUAL: ("mlp", 14, "relu", ""),
    FREE: ("complex_mlp", 12, "crelu", "variance"), ORTHOGONAL: ("orthogonal_mlp", 24, "relu", ""),
    WIDE: ("mlp", 24, "relu", ""), BEGUN: ("complex_mlp", 12, "crelu", "unitary"),
}  # fmt: skip
FIRST = (UNITARY, FREE, ORTHOGONAL, EQUAL)
SMALL = {
    UNITARY: ("unitary_mlp", 4, "crelu", ""), ORTHOGONAL: ("orthogonal_mlp", 8, "relu", ""),
    EQUAL: ("mlp", 4, "relu", ""),
}  # fmt: skip


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    init = ("--network.init", cell["init"]) if cell["init"] else ()
    return gan_steps.ring8(cell, seed, "--network", cell["network"], "--activation", cell["activation"], *init)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    return gan_steps.measured(cell, flags(cell, seed), seed, folder)


def cells(networks: dict[str, tuple[str, int, str, str]], **settings: object) -> dict[str, study.Cell]:
    """Return a cell for each network; its rate, and its gamma under consensus, are chosen by the study."""
    keys = ("network", "width", "activation", "init")
    return {name: {**dict(zip(keys, network, strict=True)), **gan_steps.UNTUNED, **settings}
            for name, network in networks.items()}  # fmt: skip


FIRST_CELLS = cells(
    {name: NETWORKS[name] for name in FIRST},
    optimizer="simultaneous", steps=STEPS, shorter=SHORTER, every=500, spectra=2, at=(1000, STEPS),
)  # fmt: skip
FIRST_CELLS[ORTHOGONAL]["spectra"] = 0
STUDY = study.Study(
    "complex_parametrizations",
    run,
    FIRST_CELLS,
    {"parameters": "parameters", **gan_steps.COLUMNS},
    quick=cells(SMALL, optimizer="simultaneous", steps=40, shorter=20, every=20, spectra=1, at=(20, 40)),
    seeds=range(20),
    bounds=gan_steps.BOUNDS,
    trials={"all": "runs"},
    flags=flags,
    tuning=gan_steps.tuning(SHORTER),
)  # fmt: skip
LONG = dataclasses.replace(
    STUDY,
    name="complex_parametrizations_long",
    cells=cells(
        NETWORKS,
        optimizer="simultaneous", steps=10_000, shorter=2500, every=2500, spectra=5, at=(2500, 10_000),
    ),
    tuning=gan_steps.tuning(2500),
)  # fmt: skip
CONSENSUS = dataclasses.replace(
    LONG,
    name="complex_parametrizations_consensus",
    cells={name: {**cell, "optimizer": "consensus"} for name, cell in LONG.cells.items()},
    columns={**STUDY.columns, "gamma": "gamma"},
)
# What a reader of the page has to know of how the numbers were made.
MADE = (
    "The rate 0.01 was added to the first three when the unitary players and the real ones had chosen the largest of "
    "them, 0.003; they did not change their choice. The orthogonal players did: to the added 0.01, by less than "
    "0.001 in the score, so that their cell rests on a rate added after the rule was written. Spectra of the "
    "orthogonal players, whose products take longest, are made by --long alone."
)
SECTION = study.Section(
    gan_steps.SETTINGS
    + gan_steps.explained("the first two seeds (none of the orthogonal players')")
    + f"\n\nParameters and spectra count real numbers. {MADE}",
    figures={
        name: (caption + ("; the unitary players' curves have no look at step 500" if name != "all" else ""), draw)
        for name, (caption, draw) in gan_steps.FIGURES.items()
    },
    pairs=[(UNITARY, other) for other in FIRST[1:]] + [(ORTHOGONAL, EQUAL), (FREE, EQUAL)],
    compared=("modes", "quality"),
)
# What only the longer forms have.
MORE = [(UNITARY, BEGUN), (UNITARY, WIDE), (ORTHOGONAL, WIDE), (FREE, WIDE)]
LONG_SECTION = dataclasses.replace(
    SECTION,
    text=gan_steps.SETTINGS + gan_steps.explained() + "\n\nParameters and spectra count real numbers.",
    figures=gan_steps.FIGURES,
    pairs=[*SECTION.pairs, *MORE],
)


def verdict(results: study.Results) -> list[str]:
    """Return what is seen of the pairs, and at which steps the steps are transient."""
    pairs = SECTION.present(results)
    return [results.difference(*pair, column) for pair in pairs for column in SECTION.compared] + gan_steps.transience(
        results
    )


PAGE = study.Page("Real, complex, orthogonal and unitary players", __doc__, [SECTION], verdict=verdict)
LONG_PAGE = dataclasses.replace(PAGE, sections=[LONG_SECTION])

FORMS = {"long": (LONG, LONG_PAGE), "consensus": (CONSENSUS, LONG_PAGE)}

if __name__ == "__main__":
    study.main(STUDY, PAGE, **FORMS)
