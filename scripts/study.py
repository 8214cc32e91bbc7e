"""What the studies share: cells times seeds, run in processes, each kept as it ends, tabulated with intervals.

A study is a function of a cell's settings, a seed and a folder that returns numbers, and what to run it on. What has
been computed is not computed again, so a stopped study goes on where it was:

    python scripts/NAME.py [--quick] [--jobs 2] [--seeds 0 1 2]
    tensorboard --logdir runs/NAME
"""

import argparse
import dataclasses
import json
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats
from torch.utils.tensorboard import SummaryWriter

from gantools import GantoolsError
from gantools.flags import parse_train
from gantools.run import RunFolder
from gantools.storage import write_atomically
from gantools.trainers.trainer import train

Cell = dict[str, Any]
Result = dict[str, Any]
BLUE, GREY = "#2b6cb0", "#a0aec0"


@dataclasses.dataclass(frozen=True)
class Study:
    """Cells, what is done with each, and what of it is shown.

    Attributes:
        name: of the folder in runs/ and of the page in docs/results/.
        run: (settings, seed, folder) -> numbers by name, and curves as {"step": [...], name: [...]} under "curves".
            Defined at the top of its module, since other processes call it.
        cells: settings by the cell's name.
        columns: heading by the name of a number, in the order of the table.
        seeds: one run each.
    """

    name: str
    run: Callable[[Cell, int, Path], Result]
    cells: Mapping[str, Cell]
    columns: Mapping[str, str]
    seeds: Sequence[int] = range(5)


@dataclasses.dataclass(frozen=True)
class Results:
    """What came of a study: by cell, the result of each seed; `{"failed": sentence}` for a run that was stopped."""

    study: Study
    by_cell: Mapping[str, Mapping[int, Result]]

    def values(self, cell: str, column: str) -> np.ndarray:
        """Return a column of a cell over the seeds, in their order; NaN where a run failed or lacks it."""
        found = (self.by_cell[cell].get(seed, {}).get(column) for seed in self.study.seeds)
        return np.array([math.nan if value is None else float(value) for value in found])

    def interval(self, cell: str, column: str) -> tuple[float, float]:
        """Return mean and half width of the 95 % interval of Student's t over the seeds that have the number."""
        return interval(self.values(cell, column))

    def contrast(self, cell: str, baseline: str, column: str) -> tuple[float, float]:
        """Return mean and half width of the 95 % interval of the difference to another cell, seed by seed."""
        return interval(self.values(cell, column) - self.values(baseline, column))

    def part(self, cells: Iterable[str], columns: Iterable[str]) -> "Results":
        """Return some of the cells and columns, for a table or a figure of their own."""
        cells = {name: self.study.cells[name] for name in cells}
        columns = {name: self.study.columns[name] for name in columns}
        return Results(dataclasses.replace(self.study, cells=cells, columns=columns), self.by_cell)

    def failed(self, cell: str) -> list[str]:
        """Return the sentences of the runs that were stopped."""
        return [result["failed"] for result in self.by_cell[cell].values() if "failed" in result]

    def table(self) -> str:
        """Return cells by columns as Markdown, mean ± half width; the number of failed runs where there were any."""
        columns, cells = self.study.columns, self.study.cells
        any_failed = any(self.failed(cell) for cell in cells)
        head = ["cell", *columns.values(), *(["stopped"] if any_failed else [])]
        lines = ["| " + " | ".join(head) + " |", "|---|" + "--:|" * (len(head) - 1)]
        for cell in cells:
            row = [cell, *(shown(*self.interval(cell, column)) for column in columns)]
            row += [f"{len(self.failed(cell))} of {len(self.study.seeds)}"] if any_failed else []
            lines.append("| " + " | ".join(row) + " |")
        return "\n".join(lines)

    def difference(self, cell: str, baseline: str, column: str) -> str:
        """Return a sentence on whether a cell differs from another one in a column, by the paired interval."""
        mean, half = self.contrast(cell, baseline, column)
        heading = self.study.columns[column]
        if math.isnan(mean):
            return f"{cell} against {baseline}: {heading} cannot be compared, too few runs have it."
        seen = "no difference is seen" if abs(mean) <= half else ("higher" if mean > 0 else "lower")
        return f"{cell} against {baseline}: {heading} {seen} ({shown(mean, half)})."

    def figure(self) -> Figure:
        """Draw a panel for each column: a dot for each seed, mean and interval for each cell."""
        cells, columns = list(self.study.cells), self.study.columns
        across = min(3, len(columns))
        down = -(-len(columns) // across)
        figure = Figure(figsize=(3.4 * across + 1.2, (0.26 * len(cells) + 1.1) * down), dpi=110, layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for axes, (column, heading) in zip(panels, columns.items(), strict=False):
            for y, cell in enumerate(cells):
                values = self.values(cell, column)
                axes.plot(values, np.full(len(values), y), ".", color=GREY, markersize=5)
                mean, half = interval(values)
                axes.errorbar(mean, y, xerr=None if math.isnan(half) else half, fmt="o", color=BLUE, capsize=3, ms=4)
            axes.set_title(heading, fontsize=9)
            axes.grid(axis="x", alpha=0.3)
        panels[0].set_yticks(range(len(cells)), cells, fontsize=8)
        panels[0].invert_yaxis()
        for axes in panels[len(columns) :]:
            axes.set_visible(False)
        return figure

    def curves(self, name: str, log: bool = False) -> Figure:
        """Draw a curve of each cell over the steps: the mean over the seeds, and the range between them."""
        figure = Figure(figsize=(7, 4.2), dpi=110, layout="constrained")
        axes = figure.subplots()
        for cell in self.study.cells:
            found = [r["curves"] for r in self.by_cell[cell].values() if name in r.get("curves", {})]
            if not found:
                continue
            shortest = min(len(curve[name]) for curve in found)
            values = np.array([curve[name][:shortest] for curve in found], dtype=float)
            steps = found[0]["step"][:shortest]
            (line,) = axes.plot(steps, values.mean(0), label=cell, linewidth=1.4)
            axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(xlabel="step", ylabel=name, yscale="log" if log else "linear")
        axes.legend(fontsize=7, ncols=2)
        axes.grid(alpha=0.3)
        return figure


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return mean and half width of the 95 % interval of Student's t; NaN where there are too few numbers."""
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    if len(values) == 1:
        return float(values[0]), math.nan
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(half)


def shown(mean: float, half: float) -> str:
    """Return "mean ± half width" with as many digits as the interval supports."""
    if math.isnan(mean):
        return "-"
    if math.isnan(half) or half == 0:
        return f"{mean:.3g}"
    digits = max(0, 1 - math.floor(math.log10(half)))
    if digits > 4 or abs(mean) >= 1e5:
        return f"{mean:.3g} ± {half:.2g}"
    return f"{mean:.{digits}f} ± {half:.{digits}f}"


def train_gan(args: Sequence[str], folder: Path) -> tuple[RunFolder, Result]:
    """Train `gantools train ARGS` in a run folder from where it stands; return it with the last of each number.

    Raises:
        GantoolsError: for a run that diverged, as training does.
    """
    run = RunFolder(folder)
    started = run.config_path.exists()
    request = parse_train([*args, "--out", str(folder), *(["--resume"] if started else [])])
    if not started or request.config.steps not in run.steps():
        train(request.config, folder, resume=started)
    last: Result = {}
    for record in run.metrics():
        last |= {name: value for name, value in record.items() if name != "step"}
    return run, last


def execute(study: Study, root: Path, jobs: int = 1) -> Results:
    """Run what has no result yet, each in its own folder below `root`, and return all results."""
    root.mkdir(parents=True, exist_ok=True)
    tasks = [(cell, seed) for seed in study.seeds for cell in study.cells]
    missing = [task for task in tasks if not result_path(root, *task).exists()]
    begun = time.perf_counter()
    if jobs == 1 or len(missing) < 2:
        for done, (cell, seed) in enumerate(missing, 1):
            _keep(root, cell, seed, _run_one(study, cell, seed, root))
            _tell(study, cell, seed, done, len(missing), begun)
    else:
        # Spawned: a forked process would inherit the threads of PyTorch half alive.
        with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
            waiting = {pool.submit(_run_one, study, *task, root): task for task in missing}
            for done, future in enumerate(as_completed(waiting), 1):
                _keep(root, *waiting[future], future.result())
                _tell(study, *waiting[future], done, len(missing), begun)
    found: dict[str, dict[int, Result]] = {cell: {} for cell in study.cells}
    for cell, seed in tasks:
        found[cell][seed] = json.loads(result_path(root, cell, seed).read_text())
    return Results(study, found)


def result_path(root: Path, cell: str, seed: int) -> Path:
    """Return where the result of a cell and a seed is kept."""
    return root / f"{re.sub(r'[^A-Za-z0-9.=-]+', '_', cell)}-seed{seed}.json"


def _keep(root: Path, cell: str, seed: int, result: Result) -> None:
    # By one process: what is not whole yet has the same name for all of a folder.
    write_atomically(result_path(root, cell, seed), (json.dumps(result) + "\n").encode())


def _run_one(study: Study, cell: str, seed: int, root: Path) -> Result:
    torch.set_num_threads(1)
    path = result_path(root, cell, seed)
    begun = time.perf_counter()
    try:
        result: Result = study.run(dict(study.cells[cell]), seed, path.with_suffix(""))
    except GantoolsError as error:
        result = {"failed": str(error)}
    result["seconds"] = time.perf_counter() - begun
    with SummaryWriter(str(path.with_suffix(""))) as writer:
        curves = result.get("curves", {})
        for name in curves.keys() - {"step"}:
            for step, value in zip(curves["step"], curves[name], strict=False):
                writer.add_scalar(f"study/{name}", value, step)
    return result


def _tell(study: Study, cell: str, seed: int, done: int, total: int, begun: float) -> None:
    minutes = (time.perf_counter() - begun) / 60
    print(f"{study.name}: {done} of {total} ({cell}, seed {seed}), {minutes:.1f} min", flush=True)


def parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every study has; `--quick` is for its quick form."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a small form of it, in a minute or two")
    options.add_argument("--jobs", type=int, default=1, help="processes at the same time, of one thread each")
    options.add_argument("--seeds", type=int, nargs="+", help="instead of the study's own")
    options.add_argument("--root", type=Path, help="where runs are kept; by default runs/NAME")
    options.add_argument("--out", type=Path, help="where the page goes; docs/results, or the root of a quick run")
    return options


def conduct(study: Study, args: argparse.Namespace, page: Callable[[Results], str], figures: Mapping[str, Any]) -> None:
    """Run a study as the options say, print its table, and write page, numbers and figures.

    Args:
        page: Markdown of the results.
        figures: by the ending of the file's name, a function from the results to a figure.
    """
    study = dataclasses.replace(study, seeds=args.seeds or study.seeds)
    root = args.root or Path("runs") / (f"{study.name}-quick" if args.quick else study.name)
    out = args.out or (root if args.quick else Path("docs/results"))
    out.mkdir(parents=True, exist_ok=True)
    results = execute(study, root, args.jobs)
    (out / f"{study.name}.md").write_text(page(results))
    (out / f"{study.name}.json").write_text(json.dumps(_plain(results), indent=1) + "\n")
    for ending, draw in figures.items():
        draw(results).savefig(out / f"{study.name}-{ending}.png")
    print(results.table())


def _plain(results: Results) -> dict[str, Any]:
    """Return the results without their curves, for the numbers beside the page."""
    return {
        cell: {str(seed): {k: v for k, v in result.items() if k != "curves"} for seed, result in by_seed.items()}
        for cell, by_seed in results.by_cell.items()
    }
