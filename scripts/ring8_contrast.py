"""Consensus against simultaneous gradient on the ring of eight Gaussians, with the settings of The Numerics of GANs.

Both RMSProp flavours, three seeds each, 20 000 steps; then the whole spectrum of the Jacobian of every run. Prints a
table, writes docs/results/ring8.md and two figures. Runs that are finished are not trained again; stopped ones go on.

    python scripts/ring8_contrast.py
    tensorboard --logdir runs/ring8
"""

import argparse
import dataclasses
import json
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

import gantools as gt
from gantools.board.figures import spectrum_figure
from gantools.flags import parse_train
from gantools.run import RunFolder
from gantools.trainers.trainer import train

LOOKS = 4


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
    """Train a cell to its last step, from where it stands."""
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
    """Return what a run reached: modes and quality at each look, and the extent of its spectrum."""
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


def contrast_figures(rows: list[dict], root: Path, out: Path) -> None:
    """Draw the spectrum and the samples of the first seed of both methods."""
    out.mkdir(parents=True, exist_ok=True)
    samples = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    panels = samples.subplots(1, 2)
    for axes, optimizer in zip(panels, ("consensus", "simultaneous"), strict=True):
        cell = next(Cell(r["optimizer"], r["base"], r["seed"]) for r in rows if r["optimizer"] == optimizer)
        saved = whole_spectrum(cell, root)
        spectrum = type("Saved", (), {"values": saved["values"], "n": len(saved["values"]), "kind": "field"})()
        spectrum_figure(spectrum, f"ring8, {cell.name}: Jacobian at the last step", neutral=1e-8).savefig(
            out / f"ring8-spectrum-{optimizer}.png"
        )
        points = gt.load(root / cell.name).sample(2560).numpy()
        axes.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, linewidths=0, color="#2b6cb0")
        angles = 2 * np.pi * np.arange(8) / 8
        axes.scatter(np.cos(angles), np.sin(angles), marker="x", color="#c53030", s=30, label="modes")
        axes.set(title=cell.name, xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axes.legend(loc="upper right", fontsize=8)
    samples.savefig(out / "ring8-samples.png")


def main() -> None:
    """Train what is missing, then tabulate and draw."""
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
    (args.out / "ring8-table.md").write_text(table(rows, args.steps) + "\n")
    contrast_figures(rows, args.root, args.out)
    print(table(rows, args.steps))


if __name__ == "__main__":
    main()
