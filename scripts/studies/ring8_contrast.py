"""Consensus against simultaneous gradient on the ring of eight Gaussians, with the settings of The Numerics of GANs.

Both RMSProp flavours, three seeds each, 20 000 steps; then the whole spectrum of the Jacobian of every run. Prints a
table, writes docs/results/ring8.md with its figures. Runs that are finished are not trained again; stopped ones go on.

    python scripts/studies/ring8_contrast.py
    tensorboard --logdir runs/ring8
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

import gantools as gt
from gantools.board.figures import spectrum_figure
from gantools.cli.flags import parse_train
from gantools.runs.store.folder import RunFolder
from gantools.runs.training_loop import train

LOOKS = 4

PAGE = """# Ring of eight Gaussians: consensus against simultaneous gradient

The experiment of The Numerics of GANs (Mescheder, Nowozin and Geiger 2017, arXiv:1705.10461) with its settings: eight
modes on the unit circle, sigma 0.01, stratified batches of 512, latents from N(0, I) in 16 dimensions, four hidden
layers of 16 ReLU units in both networks (2003 parameters), nonsaturating loss, RMSProp, learning rate 1e-4, gamma 10,
{steps} steps. Both flavours of RMSProp: PyTorch's, and TensorFlow 1's, which the authors ran.

    python scripts/studies/ring8_contrast.py

One run of it, by hand:

    {command}

Cells are modes covered (of 8; a mode counts with at least 25 of 2560 samples within 0.1) and the fraction of samples
within 0.1 of a mode. Then the whole spectrum of the Jacobian J of the field at the last step, on one batch (positive
real parts attract; Mescheder's v' is -J), and how many eigenvalues are zero to 1e-8 (dead ReLU paths).

{table}

{verdict}

![Spectra](ring8-spectra.png)

![Samples](ring8-samples.png)

Numbers: [ring8.json](ring8.json). Every run that was made is in the table; none was drawn again.
"""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One run: a method, a base rule, a seed."""

    optimizer: str
    base: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.optimizer}-{self.base}-seed{self.seed}"

    def command(self, steps: int, out: Path) -> list[str]:
        """Return the arguments of `gantools train` for this run."""
        every = str(max(1, steps // LOOKS))
        return [
            "--data", "ring8", "--optimizer", self.optimizer, "--optimizer.base", self.base, "--seed", str(self.seed),
            "--steps", str(steps), "--sample-every", every, "--checkpoint-every", every, "--spectrum-every", "0",
            "--log-every", "100", "--out", str(out),
        ]  # fmt: skip


def run_cell(cell: Cell, steps: int, root: Path) -> None:
    """Train a cell to its last step, resuming a run that was stopped."""
    folder = RunFolder(root / cell.name)
    started = folder.config_path.exists()
    if started and steps in folder.steps():
        return
    request = parse_train(cell.command(steps, folder.path) + (["--resume"] if started else []))
    print(f"training {cell.name}", flush=True)
    train(request.config, folder.path, resume=started)


def whole_spectrum(cell: Cell, root: Path) -> dict[str, np.ndarray]:
    """Return the eigenvalues of the Jacobian at the last step, computed once and kept in the run."""
    path = root / cell.name / "spectrum.npz"
    if not path.exists():
        run = gt.load(root / cell.name)
        spectrum = gt.analysis.spectrum(gt.analysis.jacobian(run.game, run.batches[run.step]))
        np.savez(path, **spectrum.to_numpy())
    with np.load(path) as saved:
        return dict(saved)


def row(cell: Cell, steps: int, root: Path) -> dict:
    """Return the results of a run: modes and quality at each look, and the extent of its spectrum."""
    records = RunFolder(root / cell.name).metrics()
    looks = {}
    for record in records:
        if "metrics/modes_covered" in record and record["step"] > 0:
            looks[record["step"]] = (int(record["metrics/modes_covered"]), round(record["metrics/high_quality"], 2))
    values = whole_spectrum(cell, root)["values"]
    return {
        **dataclasses.asdict(cell),
        "looks": looks,
        "final": looks[steps],
        "real": [float(values.real.min()), float(values.real.max())],
        "imaginary": float(np.abs(values.imag).max()),
        "zeros": int((np.abs(values) < 1e-8).sum()),
    }


def table(rows: list[dict], steps: int) -> str:
    """Return the rows as a Markdown table."""
    looks = sorted(rows[0]["looks"])
    lines = [
        "| method | base | seed | "
        + " | ".join(f"{s} steps" for s in looks)
        + " | Re λ of J | max abs Im λ | abs λ < 1e-8 |",
        "|---|---|--:|" + "---|" * len(looks) + "---|--:|--:|",
    ]
    for r in rows:
        cells = " | ".join(f"{r['looks'][s][0]}, {r['looks'][s][1]:.2f}" for s in looks)
        low, high = r["real"]
        lines.append(
            f"| {r['optimizer']} | {r['base']} | {r['seed']} | {cells} | {low:.3g} to {high:.3g} | "
            f"{r['imaginary']:.3g} | {r['zeros']} |"
        )
    return "\n".join(lines)


def verdict(rows: list[dict]) -> str:
    """Return the sentence that the rows support."""
    covered = {o: [r["final"][0] for r in rows if r["optimizer"] == o] for o in ("consensus", "simultaneous")}
    repelled = {o: max(-r["real"][0] for r in rows if r["optimizer"] == o) for o in ("consensus", "simultaneous")}
    full = sum(modes == 8 for modes in covered["consensus"])
    below = sum(modes < 8 for modes in covered["simultaneous"])
    simultaneous = covered["simultaneous"]
    return (
        f"Consensus covers all 8 modes in {full} of {len(covered['consensus'])} runs; simultaneous gradient stays "
        f"below 8 in {below} of {len(simultaneous)} ({min(simultaneous)} to {max(simultaneous)} modes). The strongest "
        f"repelling real part is at most {repelled['consensus']:.2g} after consensus and up to "
        f"{repelled['simultaneous']:.2g} after simultaneous gradient."
    )


def contrast_figures(rows: list[dict], root: Path, out: Path) -> None:
    """Draw the spectrum and the samples of the first seed of both methods, side by side."""
    samples = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    panels = samples.subplots(1, 2)
    pictures = []
    for axes, optimizer in zip(panels, ("consensus", "simultaneous"), strict=True):
        found = next(r for r in rows if r["optimizer"] == optimizer)
        cell = Cell(found["optimizer"], found["base"], found["seed"])
        saved = whole_spectrum(cell, root)
        spectrum = type("Saved", (), {"values": saved["values"], "n": len(saved["values"]), "kind": "field"})()
        path = out / f"ring8-spectrum-{optimizer}.png"
        spectrum_figure(spectrum, f"ring8 after {optimizer}: Jacobian, {cell.name}", neutral=1e-8).savefig(path)
        pictures.append(imread(path))
        points = gt.load(root / cell.name).sample(2560).numpy()
        axes.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, linewidths=0, color="#2b6cb0")
        angles = 2 * np.pi * np.arange(8) / 8
        axes.scatter(np.cos(angles), np.sin(angles), marker="x", color="#c53030", s=30, label="modes")
        axes.set(title=cell.name, xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axes.legend(loc="upper right", fontsize=8)
    imsave(out / "ring8-spectra.png", np.concatenate(pictures, axis=1))
    samples.savefig(out / "ring8-samples.png")


def main() -> None:
    """Train the missing runs, then tabulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--bases", nargs="+", default=["rmsprop", "rmsprop_tf1"])
    parser.add_argument("--root", type=Path, default=Path("runs/ring8"))
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--part", default="0/1", help="train only every n-th run, as 0/2 and 1/2 in two terminals")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cells = [Cell(o, b, s) for b in args.bases for o in ("consensus", "simultaneous") for s in args.seeds]
    part, parts = map(int, args.part.split("/"))
    for cell in cells[part::parts]:
        run_cell(cell, args.steps, args.root)
    if parts > 1:
        print("trained; run again without --part for the table")
        return
    rows = [row(cell, args.steps, args.root) for cell in cells]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "ring8.json").write_text(json.dumps(rows, indent=1) + "\n")
    contrast_figures(rows, args.root, args.out)
    command = "gantools train " + " ".join(cells[0].command(args.steps, args.root / cells[0].name))
    page = PAGE.format(steps=args.steps, command=command, table=table(rows, args.steps), verdict=verdict(rows))
    (args.out / "ring8.md").write_text(page)
    print(table(rows, args.steps), verdict(rows), sep="\n\n")


if __name__ == "__main__":
    main()
