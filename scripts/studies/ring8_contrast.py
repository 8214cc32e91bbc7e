"""Consensus against simultaneous gradient on the ring of eight Gaussians, with the settings of The Numerics of GANs.

Both RMSProp flavours, three seeds each, 20 000 steps; then, in float64, the whole spectra of the Jacobian J of every
run, of J in the metric of the rule that trained it, and of the update that it takes. Prints the tables, writes
docs/results/ring8.md with its figures. Runs and spectra that are finished are not made again; stopped runs go on.

    python scripts/studies/ring8_contrast.py
    tensorboard --logdir runs/ring8
"""

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import numpy as np
import torch
from cells.ring8_page import METHODS, PAGE, covered, modes_table, said, spectra_table
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

import gantools as gt
from gantools.cli.flags import parse_train
from gantools.runs.store.folder import RunFolder
from gantools.runs.training_loop import train

LOOKS = 4

LINEAR = 1e-4  # below it the axes of spectra are linear
BLUE, ORANGE = "#0072b2", "#d55e00"  # of Okabe and Ito, told apart by the colour-blind


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


def spectra(cell: Cell, root: Path) -> dict[str, np.ndarray]:
    """Return the eigenvalues of J, of h D^-1 J and of the update at the last step; computed once, kept in the run."""
    path = root / cell.name / "spectra.npz"
    if not path.exists():
        print(f"spectra of {cell.name}", flush=True)
        run = gt.load(root / cell.name).double()
        batch = run.batches[run.step]
        (rate,) = set(run.optimizer.rates.values())  # that of both players
        J = gt.analysis.jacobian(run.game, batch)
        followed = gt.analysis.preconditioned(J, run.optimizer) * rate
        operators = {"J": J, "followed": followed, "update": gt.analysis.update_operator(run.optimizer, batch)}
        np.savez(path, **{name: gt.analysis.spectrum(A).to_numpy()["values"] for name, A in operators.items()})
    with np.load(path) as saved:
        return dict(saved)


def row(cell: Cell, steps: int, root: Path) -> dict:
    """Return the results of a run: modes and quality at each look, and the extremes of its spectra."""
    looks = {}
    for record in RunFolder(root / cell.name).metrics():
        if "metrics/modes_covered" in record and record["step"] > 0:
            looks[record["step"]] = (int(record["metrics/modes_covered"]), round(record["metrics/high_quality"], 2))
    found = spectra(cell, root)
    J, followed = found["J"], found["followed"]
    largest = np.abs(J).max()
    return {
        **dataclasses.asdict(cell),
        "looks": looks,
        "final": looks[steps],
        "largest": float(largest),
        "repulsion": float(-J.real.min() / largest),
        "rotation": float(np.abs(J.imag).max() / largest),
        "zeros": int((np.abs(J) < 1e-8).sum()),
        "followed_real": [float(followed.real.min()), float(followed.real.max())],
        "followed_imaginary": float(np.abs(followed.imag).max()),
        "radius": float(np.abs(found["update"]).max()),
    }


def first_cells(rows: list[dict]) -> list[Cell]:
    """Return the first run of each method."""
    found = [next(r for r in rows if r["optimizer"] == method) for method in METHODS]
    return [Cell(r["optimizer"], r["base"], r["seed"]) for r in found]


def spectra_figure(rows: list[dict], root: Path) -> Figure:
    """Draw, for both methods, J over its largest modulus and h D^-1 J: the same axes in each row."""
    figure = Figure(figsize=(9, 6.4), dpi=110, layout="constrained")
    panels = figure.subplots(2, 2, sharex="row", sharey="row")
    titles = ("J / largest |J|", "h D$^{-1}$ J")
    for column, cell in enumerate(first_cells(rows)):
        found = spectra(cell, root)
        for axes, values, title in zip(
            panels[:, column], (found["J"] / np.abs(found["J"]).max(), found["followed"]), titles, strict=True
        ):
            repels = values.real < 0
            axes.scatter(values.real[~repels], values.imag[~repels], s=8, color=BLUE, alpha=0.5, label="Re ≥ 0")
            axes.scatter(
                values.real[repels], values.imag[repels], s=10, color=ORANGE, marker="^", alpha=0.6, label="Re < 0"
            )
            axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)
            axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
            axes.set(title=f"{cell.name}: {title}", xlabel=f"Re (log, linear below {LINEAR:g})", ylabel="Im")
            for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
                set_scale("symlog", linthresh=LINEAR)
                axis.set_major_locator(FixedLocator([-1, -1e-2, 0, 1e-2, 1]))  # those of matplotlib overlap at 0
                axis.set_minor_locator(NullLocator())
            axes.grid(alpha=0.2)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def samples_figure(rows: list[dict], root: Path) -> Figure:
    """Draw the samples of the first run of both methods over the modes."""
    figure = Figure(figsize=(9, 4.6), dpi=110, layout="constrained")
    for axes, cell in zip(figure.subplots(1, 2), first_cells(rows), strict=True):
        points = gt.load(root / cell.name).sample(2560).numpy()
        axes.scatter(points[:, 0], points[:, 1], s=3, alpha=0.4, linewidths=0, color=BLUE, label="samples")
        angles = 2 * np.pi * np.arange(8) / 8
        axes.scatter(np.cos(angles), np.sin(angles), marker="x", color=ORANGE, s=30, label="modes")
        axes.set(title=cell.name, xlabel="x", ylabel="y", xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
        axes.legend(loc="upper right", fontsize=8)
    return figure


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
    cells = [Cell(o, b, s) for b in args.bases for o in METHODS for s in args.seeds]
    part, parts = map(int, args.part.split("/"))
    for cell in cells[part::parts]:
        run_cell(cell, args.steps, args.root)
    if parts > 1:
        print("trained; run again without --part for the table")
        return
    rows = [row(cell, args.steps, args.root) for cell in cells]
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "ring8.json").write_text(json.dumps(rows, indent=1) + "\n")
    spectra_figure(rows, args.root).savefig(args.out / "ring8-spectra.png")
    samples_figure(rows, args.root).savefig(args.out / "ring8-samples.png")
    page = PAGE.format(
        steps=args.steps,
        command="gantools train " + " ".join(cells[0].command(args.steps, args.root / cells[0].name)),
        modes=modes_table(rows),
        covered=covered(rows),
        spectra=spectra_table(rows),
        said=said(rows),
        versions=f"torch {torch.__version__}, {platform.machine()}, one thread",
    )
    (args.out / "ring8.md").write_text(page)
    print(modes_table(rows), covered(rows), spectra_table(rows), said(rows), sep="\n\n")


if __name__ == "__main__":
    main()
