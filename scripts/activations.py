"""What the activation of a GAN's players does to convergence, rotation, and unstable directions.

The ring of eight Gaussians with the network of The Numerics of GANs, under consensus: each activation in the generator
alone, in the discriminator alone (ReLU in the other player), and in both; in both under simultaneous gradient too.
Classifiers with the same activations are in esp_index.py.

    python scripts/activations.py --jobs 2
    python scripts/activations.py --quick
    tensorboard --logdir runs/activations
"""

import dataclasses
from pathlib import Path

import gan_cells
import study

ACTIVATIONS = {"relu": "relu", "leaky_relu": "leaky_relu", "tanh": "tanh", "sigmoid": "sigmoid", "silu": "silu",
               "esp": "esp(learned=True)"}  # fmt: skip
STEPS = 2500


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    looks = str(cell["steps"] // (10 if cell["steps"] >= 1000 else 1))  # a look draws pictures
    args = ["--data", "ring8", "--optimizer", cell["optimizer"], "--optimizer.lr", "1e-3", "--seed", str(seed)]
    args += ["--network.generator-activation", cell["generator"], "--steps", str(cell["steps"]), "--batch-size", "256"]
    args += ["--network.discriminator-activation", cell["discriminator"], "--sample-every", looks]
    args += [
        "--network.width",
        str(cell["width"]),
        "--spectrum-every",
        "0",
        "--log-every",
        "50",
        "--checkpoint-every",
        looks,
    ]
    return gan_cells.measured(args, folder)


def cells(steps: int, width: int, names: dict[str, str]) -> dict[str, study.Cell]:
    """Return where each activation goes, and under which method."""
    found = {}
    for name, spec in names.items():
        for where in ("both", "generator", "discriminator") if name != "relu" else ("both",):
            placed = {p: spec if where in ("both", p) else "relu" for p in ("generator", "discriminator")}
            found[f"{name} in {where}"] = {"optimizer": "consensus", "steps": steps, "width": width, **placed}
        both = {"generator": spec, "discriminator": spec, "width": width}
        found[f"{name} in both, simultaneous"] = {"optimizer": "simultaneous", "steps": steps, **both}
    return found


STUDY = study.Study("activations", run, cells(STEPS, 16, ACTIVATIONS), gan_cells.COLUMNS)
PAGE = """# Activations in the players of a GAN

    python scripts/activations.py --jobs 2

{text}

{steps} steps, batches of 256, RMSProp, learning rate 1e-3, gamma 10, {seeds} seeds; mean and 95 % interval.

{columns}

{table}

![By cell](activations-all.png)

![Modes over the steps](activations-modes.png)

{verdict}
"""


def page(results: study.Results) -> str:
    """Return the page; differences are to ReLU in both players, seed by seed."""
    others = [cell for cell in results.study.cells if cell.endswith("in both") and not cell.startswith("relu")]
    columns = ("quality", "repelling", "rotation", "leading rotation")
    said = [results.difference(cell, "relu in both", column) for cell in others for column in columns]
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    steps = next(iter(results.study.cells.values()))["steps"]
    verdict = "\n".join(f"- {sentence}" for sentence in said)
    return PAGE.format(text=text, steps=steps, seeds=len(results.study.seeds), columns=gan_cells.EXPLAINED,
                       table=results.table(), verdict=verdict)  # fmt: skip


def main() -> None:
    """Run it, or its quick form."""
    args, chosen = study.parser(__doc__).parse_args(), STUDY
    if args.quick:
        quick = cells(60, 4, {name: ACTIVATIONS[name] for name in ("relu", "tanh")})
        chosen = dataclasses.replace(STUDY, cells=quick, seeds=range(2))
    study.conduct(chosen, args, page, {"all": study.Results.figure, "modes": lambda r: r.curves("modes_covered")})


if __name__ == "__main__":
    main()
