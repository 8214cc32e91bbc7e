"""Whether a generator that flows steadies a GAN: an ordinary differential equation against fully connected layers.

The ring of eight Gaussians, under simultaneous gradient and under consensus. The generator that flows integrates one f
in time, in a state of four numbers more than a hidden layer has; the other has four hidden layers, and about as many
parameters. Both have tanh, the discriminator has ReLU and is the same. (A first round left each network its default
activations, tanh in both players with a flow and ReLU without: it told nothing of the flow.) That a flow steadies a GAN
is a hypothesis of ours, not a published result.

    pip install -e ".[ode]"
    python scripts/studies flowing_generators --jobs 2
    python scripts/studies flowing_generators --quick
    tensorboard --logdir runs/flowing_generators
"""

from functools import partial

from cells import gan_steps
from harness import study

STEPS, EARLY = 1500, 500
NETWORKS = {"flow": "ode_mlp", "fully connected": "mlp"}
OPTIMIZERS = ("simultaneous", "consensus")


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    state = ("--network.state", str(cell["width"] + 4)) if cell["network"] == "ode_mlp" else ()
    activations = ("--network.generator-activation", "tanh", "--network.discriminator-activation", "relu")
    return gan_steps.ring8(cell, seed, "--network", cell["network"], *activations, *state)


def cells(**settings: object) -> dict[str, study.Cell]:
    """Return both generators under both methods; rates and gammas are chosen by the study."""
    return {
        f"{label}, {optimizer}": {"network": network, "optimizer": optimizer, **gan_steps.UNTUNED, **settings}
        for label, network in NETWORKS.items() for optimizer in OPTIMIZERS
    }  # fmt: skip


STUDY = gan_steps.tuned_study(
    "flowing_generators",
    flags,
    cells(width=12, steps=STEPS, shorter=STEPS, every=500, spectra=3, at=(EARLY, STEPS)),
    {"parameters": "parameters", **gan_steps.COLUMNS, "gamma": "gamma"},
    quick=cells(width=3, steps=4, shorter=2, every=2, spectra=1, at=(2, 4)),
    seeds=range(10),
    tuning=gan_steps.tuning(STEPS),
)
SECTION = study.Section(
    gan_steps.SETTINGS + gan_steps.EXPLAINED,
    figures=gan_steps.FIGURES,
    pairs=[(f"flow, {optimizer}", f"fully connected, {optimizer}") for optimizer in OPTIMIZERS],
    compared=("modes", "quality"),
)
PAGE = study.Page("Generators that flow", __doc__, [SECTION], partial(gan_steps.verdict, SECTION))

if __name__ == "__main__":
    study.main(STUDY, PAGE)
