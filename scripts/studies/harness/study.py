"""Runner of studies: cells times seeds in processes, each result kept as it ends, and a page of all results.

A study is a function of a cell's settings, a seed and a folder that returns numbers, the cells to run it on, and a
page. A finished result is not computed again, so a stopped study goes on where it was:

    python scripts/studies/NAME.py [--quick] [--jobs 2] [--seeds 0 1 2]
    python scripts/studies/NAME.py --backend dask --scheduler tcp://HOST:8786
    tensorboard --logdir runs/NAME
"""

import argparse
import dataclasses
import json
import platform
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from harness.intervals import fraction
from harness.programs import result_path, train_together, trained_before
from harness.study_page import Page, Section
from harness.study_results import Cell, Result, Results, Study, Trial, Tuning, markdown
from harness.tuning import trials, tuned, with_chosen
from torch.utils.tensorboard import SummaryWriter

import gantools as gt
from gantools import GantoolsError
from gantools.cli.flags import parse_train
from gantools.errors import FolderInUseError, MissingDependencyError
from gantools.runs.store.atomic import write_atomically
from gantools.runs.store.folder import RunFolder
from gantools.runs.training_loop import train
from gantools.sweeps.once import held
from gantools.sweeps.pool import Pool

__all__ = [
    "Cell",
    "Page",
    "Result",
    "Results",
    "RunFolder",
    "Section",
    "Study",
    "Trial",
    "Tuning",
    "execute",
    "fraction",
    "main",
    "markdown",
    "result_path",
    "train_gan",
]

DRAWN = ("curves", "pictures")  # what figures alone are made of
MADE_WITH = (
    f"gantools {gt.__version__}, torch {torch.__version__}, Python {platform.python_version()}, {platform.machine()}"
)


def train_gan(args: Sequence[str], folder: Path) -> tuple[RunFolder, Result]:
    """Train `gantools train ARGS` in a run folder, resuming it; return the folder and the last value of each metric.

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


def execute(study: Study, root: Path, pool: Pool | None = None) -> Results:
    """Run the cells and seeds without a result, each in its own folder below `root`, and return all results.

    Settings that a tuning chooses are chosen first, from trials below `root`/tuning.
    """
    tried: dict[str, list[Trial]] = {}
    if study.tuning:
        study, tried = tuned(study, execute(trials(study), root / "tuning", pool))
        _keep_chosen(study, tried, root)
    root.mkdir(parents=True, exist_ok=True)
    tasks = [(cell, seed) for seed in study.seeds for cell in study.cells]
    missing = [task for task in tasks if not result_path(root, *task).exists()]
    begun = time.perf_counter()
    pool = Pool() if pool is None or len(missing) < 2 else pool
    groups: dict[str, list[tuple[str, int]]] = {}
    for cell, seed in missing:
        groups.setdefault(study.programs.get(cell, cell), []).append((cell, seed))
    ahead = _run_together if study.together else train_together if study.flags else None
    shared = [(group,) for group in groups.values() if ahead and len(group) > 1]
    for done, (place, _) in enumerate(pool.completed(partial(ahead, study, root), shared) if ahead else (), 1):
        group = shared[place][0]
        _tell(study, f"{group[0][0]}, {len(group)} runs together", done, len(shared), begun)
    missing = [task for task in tasks if not result_path(root, *task).exists()]
    for done, (place, _) in enumerate(pool.completed(partial(_run_one, study, root), missing), 1):
        _tell(study, f"{missing[place][0]}, seed {missing[place][1]}", done, len(missing), begun)
    found: dict[str, dict[int, Result]] = {cell: {} for cell in study.cells}
    for cell, seed in tasks:
        found[cell][seed] = json.loads(result_path(root, cell, seed).read_text())
    return Results(study, found, tried=tried)


def stored(study: Study, out: Path) -> Results:
    """Return the results that lie beside a page, which have no curves."""
    numbers = json.loads((out / f"{study.name}.json").read_text())
    by_cell = {cell: {int(seed): result for seed, result in numbers[cell].items()} for cell in study.cells}
    seeds = sorted({seed for results in by_cell.values() for seed in results})
    study = dataclasses.replace(study, seeds=seeds)
    tried: dict[str, list[Trial]] = {}
    if study.tuning:
        kept = json.loads((out / f"{study.name}-tuning.json").read_text())
        tried = {cell: [Trial(**trial) for trial in kept[cell]] for cell in study.cells}
        study = with_chosen(study, tried)
    return Results(study, by_cell, tried=tried)


def _keep_chosen(study: Study, tried: dict[str, list[Trial]], root: Path) -> None:
    """Keep which settings were chosen; refuse other ones than those that runs below `root` were made with."""
    path = root / "chosen.json"
    known: dict[str, Cell] = json.loads(path.read_text()) if path.exists() else {}
    for cell, own in tried.items():
        settings = next(trial.settings for trial in own if trial.chosen)
        folders = [result_path(root, cell, seed).with_suffix("") for seed in study.seeds]
        begun = [folder for folder in folders if folder.exists()]
        if begun and known.get(cell, settings) != settings:
            said = f"{cell} was run with {known[cell]}, and {settings} are chosen now"
            raise ValueError(f"{said}: remove {begun[0]} and its like.")
        known[cell] = settings
    write_atomically(path, (json.dumps(known) + "\n").encode())


def _run_one(study: Study, root: Path, cell: str, seed: int) -> None:
    """Compute the result of a cell and a seed and keep it, where no other process did, or does."""
    path = result_path(root, cell, seed)
    with held(path):
        if not path.exists():
            write_atomically(path, (json.dumps(_result(study, cell, seed, path)) + "\n").encode())


def _result(study: Study, cell: str, seed: int, path: Path) -> Result:
    torch.set_num_threads(1)
    begun = time.perf_counter()
    try:
        result: Result = study.run(dict(study.cells[cell]), seed, path.with_suffix(""))
    except (MissingDependencyError, FolderInUseError):
        raise  # not a result of the study
    except GantoolsError as error:
        result = {"failed": str(error)}
    training = result["training"] = trained_before(path.with_suffix(""))
    return _finished(path, result, time.perf_counter() - begun + training)


def _run_together(study: Study, root: Path, group: Sequence[tuple[str, int]]) -> None:
    """Compute the results of a cell's seeds in one program and keep them, where no other process did, or does."""
    torch.set_num_threads(1)
    assert study.together is not None
    cell, seeds = group[0][0], [seed for _, seed in group]
    paths = [result_path(root, cell, seed) for seed in seeds]
    with held(paths[0]):
        if all(path.exists() for path in paths):
            return
        begun = time.perf_counter()
        results = study.together(dict(study.cells[cell]), seeds)
        seconds = (time.perf_counter() - begun) / len(seeds)
        for seed, path in zip(seeds, paths, strict=True):
            result = _finished(path, dict(results[seed]), seconds)
            write_atomically(path, (json.dumps(result) + "\n").encode())


def _finished(path: Path, result: Result, seconds: float) -> Result:
    """Return a result with what it was made with, its curves also for TensorBoard."""
    result |= {"seconds": seconds, "made with": MADE_WITH}
    with SummaryWriter(str(path.with_suffix(""))) as writer:
        curves = result.get("curves", {})
        for name in curves.keys() - {"step"}:
            for step, value in zip(curves["step"], curves[name], strict=False):
                writer.add_scalar(f"study/{name}", value, step)
    return result


def _tell(study: Study, what: str, done: int, total: int, begun: float) -> None:
    minutes = (time.perf_counter() - begun) / 60
    print(f"{study.name}: {done} of {total} ({what}), {minutes:.1f} min", flush=True)


def main(
    study: Study,
    page: Page,
    command: Sequence[str] | None = None,
    script: str | None = None,
    **forms: Study | tuple[Study, Page],
) -> None:
    """Run a study as the command line says, print its tables, and write page, numbers and figures.

    Args:
        study: its full form.
        page: the page to write.
        command: arguments instead of the command line's.
        script: how the study is started, for its page; by default as a script of its own name.
        forms: other forms of the study, by the flag that chooses one, with their page where it is another.
    """
    options = _parser(page.text)
    for flag in forms:
        options.add_argument(f"--{flag}", action="store_true", help=f"the {flag} form of it")
    args = options.parse_args(command)
    script = script or f"python scripts/studies/{study.name}.py"
    for flag, form in forms.items():
        if getattr(args, flag):
            study, page = form if isinstance(form, tuple) else (form, page)
            script = f"{script} --{flag}"
    if args.page:
        page.write(
            stored(study, args.out or Path("docs/results")), f"{script} --jobs 2", args.out or Path("docs/results")
        )
        return
    root = args.root or Path("runs") / (f"{study.name}-quick" if args.quick else study.name)
    if args.quick:
        fewer = study.tuning and dataclasses.replace(study.tuning, seeds=study.tuning.seeds[:2])
        study = dataclasses.replace(study, cells=study.quick, seeds=range(2), tuning=fewer)
    out = args.out or (root if args.quick else Path("docs/results"))
    out.mkdir(parents=True, exist_ok=True)
    try:
        results = execute(dataclasses.replace(study, seeds=args.seeds or study.seeds), root, pool_of(args))
    except MissingDependencyError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    page.write(results, f"{script} --jobs 2", out)
    (out / f"{study.name}.json").write_text(json.dumps(_plain(results), indent=1) + "\n")
    if results.tried:
        tried = {cell: [dataclasses.asdict(trial) for trial in own] for cell, own in results.tried.items()}
        (out / f"{study.name}-tuning.json").write_text(json.dumps(tried, indent=1) + "\n")
    print(*(section.part(results).table() for section in page.shown(results)), sep="\n\n")


def _parser(description: str | None) -> argparse.ArgumentParser:
    """Return the options that every study has."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="a small form of it, in a minute or two")
    options.add_argument("--page", action="store_true", help="write the page anew from its numbers, without any run")
    add_pool(options)
    options.add_argument("--seeds", type=int, nargs="+", help="instead of the study's own")
    options.add_argument("--root", type=Path, help="where runs are kept; by default runs/NAME")
    options.add_argument("--out", type=Path, help="where the page goes; docs/results, or the root of a quick run")
    return options


def add_pool(options: argparse.ArgumentParser) -> None:
    """Add the options that say where runs are computed."""
    options.add_argument("--jobs", type=int, default=1, help="processes at the same time, of one thread each")
    options.add_argument("--backend", default="joblib", help="joblib, or dask for the workers of a cluster")
    options.add_argument("--scheduler", help="address of the cluster's scheduler, tcp://HOST:8786")


def pool_of(args: argparse.Namespace) -> Pool:
    """Return the processes that these options ask for; ends the program where they do not fit together."""
    try:
        return Pool(args.jobs, args.backend, args.scheduler)
    except GantoolsError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _plain(results: Results) -> dict[str, Any]:
    """Return the results without what is only drawn, for the numbers beside the page."""
    return {
        cell: {str(seed): {k: v for k, v in result.items() if k not in DRAWN} for seed, result in by_seed.items()}
        for cell, by_seed in results.by_cell.items()
    }
