"""Nets as integrators: what a scheme's order, its number of evaluations and its memory are worth.

The order of each block on the logistic equation, and its error at 32 evaluations of f; residual classifiers that differ
in their scheme alone, with about as many parameters and with half the blocks, on two spirals and on the wave of the ESP
experiment; the memory of reversible nets over their depth; and GANs on the ring of eight Gaussians whose generator
flows, under simultaneous gradient and consensus.

    python scripts/integrators.py --jobs 2
    python scripts/integrators.py --quick
    tensorboard --logdir runs/integrators
"""

import dataclasses
from pathlib import Path

import gan_cells
import integrator_cells
import study

STEPS = {"GAN": 2500, "spirals": 2000, "wave": 1000}
TASKS = {"spirals": "two_spirals", "wave": "esp_nonlinear"}
NETS = ("ResNet", "LM-ResNet", "RevNet", "PolyNet", "FractalNet, identity", "ODE, rk4")
HALVED = ("ResNet", "LM-ResNet")


def gan(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure a GAN."""
    looks = str(max(1, cell["steps"] // cell["looks"]))
    args = ["--data", "ring8", "--network", cell["network"], "--network.width", str(cell["width"]), "--seed", str(seed)]
    args += ["--network.state", str(cell["width"] + 4)] if cell["network"] == "ode_mlp" else []
    args += ["--optimizer", cell["optimizer"], "--optimizer.lr", "1e-3", "--steps", str(cell["steps"])]
    args += ["--batch-size", "256", "--sample-every", looks, "--spectrum-every", "0", "--log-every", "50"]
    return gan_cells.measured([*args, "--checkpoint-every", looks], folder)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Run one cell of any kind."""
    if cell["kind"] == "GAN":
        return gan(cell, seed, folder)
    measure = {"order": integrator_cells.order, "net": integrator_cells.classified, "memory": integrator_cells.memory}
    return measure[cell["kind"]](cell, seed)


def cells(steps: dict[str, int], depths: tuple[int, ...], width: int = 12, looks: int = 10) -> dict[str, study.Cell]:
    """Return the cells of all four kinds."""
    found: dict[str, study.Cell] = {
        f"order, {name}": {"kind": "order", "scheme": name} for name in integrator_cells.SCHEMES
    }
    for points in TASKS:
        for name, blocks in [*((name, 8) for name in NETS), *((name, 4) for name in HALVED)]:
            label = f"{points}, {name}" + (", half the blocks" if blocks == 4 else "")
            found[label] = {"kind": "net", "task": TASKS[points], "scheme": name, "blocks": blocks,
                            "steps": steps[points]}  # fmt: skip
    found |= {f"memory, {depth} blocks": {"kind": "memory", "depth": depth} for depth in depths}
    for network, label in (("mlp", "fully connected"), ("ode_mlp", "flow")):
        for optimizer in ("simultaneous", "consensus"):
            found[f"GAN, {label}, {optimizer}"] = {"kind": "GAN", "network": network, "optimizer": optimizer,
                                                   "width": width, "looks": looks, "steps": steps["GAN"]}  # fmt: skip
    return found


COLUMNS = {
    "order": {"order": "order", "log error": "log10 of the error"},
    "net": {"parameters": "parameters", "train": "train acc.", "test": "test acc.", "loss": "loss"},
    "memory": {"undone": "undone", "stored": "stored", "drift": "drift, float32"},
    "GAN": {"parameters": "parameters", **gan_cells.COLUMNS},
}
STUDY = study.Study(
    "integrators", run, cells(STEPS, (4, 16, 64)), {k: v for c in COLUMNS.values() for k, v in c.items()}
)
PAGE = """# Nets as integrators

    python scripts/integrators.py --jobs 2

{text}

{seeds} seeds; mean and 95 % interval.

Order, and error at time 1 after 32 evaluations of f, from starts between 0.1 and 0.4:

{order}

Classifiers of 8 blocks, Adam from 1e-2 to 1e-3, {spirals} steps on the spirals and {wave} on the wave, three quarters
of the points for training; the flow has one f for all its steps, as wide as the others' f together:

{net}

![Classifiers](integrators-net.png)

The most memory alive in a training step, as a multiple of the state's: blocks undone in the backward pass, and stored;
drift is the relative error of a state after the way through all blocks and back:

{memory}

GANs, {gan_steps} steps, batches of 256, RMSProp, learning rate 1e-3, gamma 10 for consensus; columns as in
[activations](activations.md):

{GAN}

![GANs](integrators-gan.png)

{verdict}
"""


def part(results: study.Results, kind: str) -> study.Results:
    """Return the cells of one kind with their columns."""
    return results.part([name for name, cell in results.study.cells.items() if cell["kind"] == kind], COLUMNS[kind])


def verdict(results: study.Results) -> str:
    """Return what the numbers support of the papers' claims."""
    said = []
    for points in TASKS:
        baseline = f"{points}, ResNet"
        said += [results.difference(f"{points}, {name}", baseline, "test") for name in NETS if name != "ResNet"]
        said += [results.difference(f"{points}, {name}, half the blocks", baseline, "test") for name in HALVED]
    said.append("Claim (arXiv 1710.10121): an LM-ResNet reaches a ResNet's accuracy with half as many parameters.")
    memories = [cell for cell in results.study.cells if cell.startswith("memory")]
    growth = {name: results.interval(memories[-1], name)[0] / results.interval(memories[0], name)[0]
              for name in ("undone", "stored")}  # fmt: skip
    said.append(
        f"From {memories[0].split(', ')[1]} to {memories[-1].split(', ')[1]} memory grows {growth['undone']:.2f} times "
        f"undone and {growth['stored']:.2f} times stored; claim (arXiv 1707.04585): constant in depth."
    )
    said += [
        results.difference(f"GAN, flow, {optimizer}", f"GAN, fully connected, {optimizer}", column)
        for optimizer in ("simultaneous", "consensus") for column in ("modes", "quality", "strongest repulsion")
    ]  # fmt: skip
    said.append("That a generator which flows steadies a GAN is a hypothesis of ours, not a published result.")
    return "\n".join(f"- {sentence}" for sentence in said)


def page(results: study.Results) -> str:
    """Return the page."""
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    cells, tables = results.study.cells, {kind: part(results, kind).table() for kind in COLUMNS}
    steps = {points: cells[f"{points}, ResNet"]["steps"] for points in TASKS}
    steps["gan_steps"] = cells["GAN, flow, consensus"]["steps"]
    return PAGE.format(text=text, seeds=len(results.study.seeds), verdict=verdict(results), **tables, **steps)


def main() -> None:
    """Run it, or its quick form."""
    args, chosen = study.parser(__doc__).parse_args(), STUDY
    if args.quick:
        quick = cells({"GAN": 5, "spirals": 5, "wave": 5}, (2, 8), width=3, looks=1)
        chosen = dataclasses.replace(STUDY, cells=quick, seeds=range(2))
    figures = {"net": lambda r: part(r, "net").figure(), "gan": lambda r: part(r, "GAN").figure()}
    study.conduct(chosen, args, page, figures)


if __name__ == "__main__":
    main()
