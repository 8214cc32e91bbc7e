"""Whether players with unitary maps cover more modes of a GAN's data than those with other parametrizations.

The ring of eight Gaussians under simultaneous gradient, 10 000 steps. A complex unit with CReLU is two real units with
ReLU, and a unitary map of 12 complex numbers is an orthogonal map of 24 real ones that commutes with multiplication by
i. So there is a chain of controls, each of which differs from a neighbour by design in one thing: complex players with
unitary maps, with free weights that begin unitary, and with free weights; real players of 24 units with orthogonal maps
and with free ones; and real players with as many parameters as the unitary ones. Parameters differ besides (1563 to
4155), and rates may. All are fully connected, with four hidden layers; unitary and orthogonal maps are those between
hidden layers. Rates are chosen by trials of a quarter of the steps, which may favour large ones. The form --consensus
has the same players under consensus, its gamma chosen too, for fewer steps and seeds.

    python scripts/studies/complex_parametrizations.py --jobs 2
    python scripts/studies/complex_parametrizations.py --consensus --jobs 2
    python scripts/studies/complex_parametrizations.py --quick
    tensorboard --logdir runs/complex_parametrizations
"""

import dataclasses
from functools import partial

from cells import gan_steps
from harness import study

# Network, hidden units of each of the four layers, activation, first weights; a complex unit has two numbers.
UNITARY, FREE = "unitary CReLU, 12 complex", "complex CReLU, 12 complex"
BEGUN = "complex CReLU, 12 complex, begun unitary"
ORTHOGONAL, WIDE, EQUAL = "orthogonal ReLU, 24 real", "real ReLU, 24 real", "real ReLU, 14 real"
NETWORKS = {
    UNITARY: ("unitary_mlp", 12, "crelu", ""), EQUAL: ("mlp", 14, "relu", ""),
    FREE: ("complex_mlp", 12, "crelu", "variance"), ORTHOGONAL: ("orthogonal_mlp", 24, "relu", ""),
    WIDE: ("mlp", 24, "relu", ""), BEGUN: ("complex_mlp", 12, "crelu", "unitary"),
}  # fmt: skip
SMALL = {
    UNITARY: ("unitary_mlp", 4, "crelu", ""), ORTHOGONAL: ("orthogonal_mlp", 8, "relu", ""),
    EQUAL: ("mlp", 4, "relu", ""),
}  # fmt: skip


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    init = ("--network.init", cell["init"]) if cell["init"] else ()
    return gan_steps.ring8(cell, seed, "--network", cell["network"], "--activation", cell["activation"], *init)


def cells(networks: dict[str, tuple[str, int, str, str]], **settings: object) -> dict[str, study.Cell]:
    """Return a cell for each network; its rate, and its gamma under consensus, are chosen by the study."""
    keys = ("network", "width", "activation", "init")
    return {name: {**dict(zip(keys, network, strict=True)), **gan_steps.UNTUNED, **settings}
            for name, network in networks.items()}  # fmt: skip


STEPS, SHORTER = 10_000, 2500
FEWER, EARLY = 2500, 1000  # steps under consensus, whose step takes longer, and of its first spectra
STUDY = gan_steps.tuned_study(
    "complex_parametrizations",
    flags,
    cells(NETWORKS, optimizer="simultaneous", steps=STEPS, shorter=SHORTER, every=2500, spectra=5, at=(SHORTER, STEPS)),
    {"parameters": "parameters", **gan_steps.COLUMNS},
    quick=cells(SMALL, optimizer="simultaneous", steps=40, shorter=20, every=20, spectra=1, at=(20, 40)),
    seeds=range(20),
    tuning=gan_steps.tuning(SHORTER),
)
CONSENSUS = dataclasses.replace(
    STUDY,
    name="complex_parametrizations_consensus",
    cells=cells(NETWORKS, optimizer="consensus", steps=FEWER, shorter=FEWER, every=500, spectra=3, at=(EARLY, FEWER)),
    columns={**STUDY.columns, "gamma": "gamma"},
    seeds=range(10),
    tuning=gan_steps.tuning(FEWER),
)
SECTION = study.Section(
    gan_steps.SETTINGS + gan_steps.EXPLAINED + "\n\nParameters and spectra count real numbers.",
    figures=gan_steps.FIGURES,
    pairs=[
        *((UNITARY, other) for other in NETWORKS if other != UNITARY),
        *((player, other) for player in (ORTHOGONAL, FREE) for other in (EQUAL, WIDE)),
        (BEGUN, FREE),
    ],
    compared=("modes", "quality"),
)
PAGE = study.Page(
    "Real, complex, orthogonal and unitary players", __doc__, [SECTION], partial(gan_steps.verdict, SECTION)
)
FORMS = {"consensus": CONSENSUS}

if __name__ == "__main__":
    study.main(STUDY, PAGE, **FORMS)
