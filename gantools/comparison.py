"""`gantools compare`: optimizers side by side on one game, in one table and one figure; what is computed is kept."""

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import torch
import tyro

from gantools import board
from gantools.comparison_tables import (
    RATES,
    TRAININGS,
    Row,
    news,
    ordered,
    rate_row,
    rates_table,
    training_row,
    trainings_table,
)
from gantools.contestants import RING, RING_STEPS, Interrupted, configuration, train_one
from gantools.errors import GantoolsError, require_positive
from gantools.experiment import resolve_device
from gantools.provenance import provenance
from gantools.rates import GRID, rate_of
from gantools.recommended import OWN_GAME
from gantools.registry import suggest
from gantools.storage import new_folder, unwritable, write_atomically
from gantools.streams import random_state_kept
from gantools.target import is_target
from gantools.terminal import command, wrapped
from gantools.toy_games import TOY_GAMES
from gantools.trainers.optimizer import OPTIMIZERS

GAMES = [*TOY_GAMES, RING]
TOY_STEPS = 1000


@dataclasses.dataclass
class CompareArguments:
    """Optimizers side by side on one game: one table, one figure.

    On an analytic game: the spectral radius of every update at the equilibrium, the contraction observed, evaluations
    for each digit gained, time. Any other game is trained from the same seeds: what was reached, and at what cost.

    Attributes:
        optimizers: all, or names with commas between them.
        game: bilinear, dirac, quadratic, ring8, or FILE.py:FUNCTION returning (game, batches).
        lr: one learning rate for all; by default the best of a grid on an analytic game, else the recommended one.
        steps: updates; on an analytic game at most 1000 by default, on ring8 2500, on your own game 1000.
        seeds: of the training runs.
        device: auto, cpu, cuda, ...; analytic games are on the CPU.
        out: folder for table, figure, numbers and runs, by default a new one in runs/; one that exists is gone on with.
    """

    optimizers: str = "all"
    game: str = "bilinear"
    lr: float | None = None
    steps: int | None = None
    seeds: tuple[int, ...] = (0,)
    device: str = "auto"
    out: Path | None = None


def compare(argv: list[str]) -> int:
    """Compare, print the table, and say where it is."""
    args = tyro.cli(CompareArguments, args=argv, prog="gantools compare")
    methods = chosen_methods(args.optimizers)
    _check(args)
    default = TOY_STEPS if args.game in TOY_GAMES else RING_STEPS if args.game == RING else OWN_GAME["steps"]
    steps = default if args.steps is None else args.steps
    name = Path(args.game.rpartition(":")[0]).stem if is_target(args.game) else args.game
    comparison = Comparison(args.out or new_folder(f"compare-{name}"), args.game, args.lr, steps, args.device)
    code = 0
    if comparison.analytic:
        torch.set_num_threads(1)  # its kernels last microseconds
    with random_state_kept():
        try:
            comparison.complete(methods, args.seeds, lambda text: print(text, flush=True))
        except (KeyboardInterrupt, Interrupted):
            code = 130
    if comparison.rows:
        print(f"\n{comparison.table()}\n\n{wrapped(comparison.explanation())}\n")
        print(f"table, figure, numbers: {comparison.write()}, figure.png, results.json")
    if code:
        again = [word for word in argv if word != str(args.out) and not word.startswith("--out")]
        print(f"Stopped; go on with it:\n  {command('compare', *again, '--out', comparison.path)}")
    return code


def chosen_methods(text: str) -> list[str]:
    """Return the names in "all" or "name,name"."""
    names = list(OPTIMIZERS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        OPTIMIZERS.require(name)
    if not names:
        raise GantoolsError("--optimizers names none: write all, or names with commas between them.")
    return list(dict.fromkeys(names))


def _check(args: CompareArguments) -> None:
    if not is_target(args.game) and args.game not in GAMES:
        raise suggest("game", args.game, [*GAMES, "FILE.py:FUNCTION"])
    if args.lr is not None and not 0 < args.lr < math.inf:
        raise GantoolsError(f"--lr is {args.lr}: pass a positive number.")
    require_positive(steps=args.steps)
    if not args.seeds or min(args.seeds) < 0:
        raise GantoolsError("--seeds needs one or more numbers of at least 0.")
    if args.game not in TOY_GAMES:
        resolve_device(args.device)


class Comparison:
    """A comparison in its folder: rows that are there are not computed again.

    Attributes:
        rows: by method and seed, plain values.
    """

    def __init__(self, path: Path, game: str, lr: float | None, steps: int, device: str = "auto"):
        self.path, self.game, self.lr, self.steps, self.device = path, game, lr, steps, device
        self.analytic = game in TOY_GAMES
        self.results = path / "results.json"
        self.rows: list[Row] = []
        try:
            if self.results.exists():
                self._read()
            elif path.exists() and (not path.is_dir() or any(f.name != "runs" for f in path.iterdir())):
                raise GantoolsError(f"{path} holds other files: choose another --out.")
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from None

    @property
    def _setting(self) -> Row:
        return {"game": self.game, "lr": self.lr, "steps": self.steps}

    def _read(self) -> None:
        try:
            stored = json.loads(self.results.read_text())
            setting, self.rows = stored["comparison"], list(stored["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise GantoolsError(f"{self.results} is damaged ({error}): choose another --out.") from None
        for name, value in self._setting.items():
            if setting.get(name) != value:
                raise GantoolsError(
                    f"{self.path} holds a comparison with {name} = {setting.get(name)}, not {value}: choose another "
                    "--out, or compare with that setting."
                )

    def missing(self, methods: Iterable[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
        """Return the methods and seeds that have no row yet; an analytic game has no seeds."""
        done = {(row["method"], row["seed"]) for row in self.rows}
        wanted = [(method, seed) for method in methods for seed in ((0,) if self.analytic else seeds)]
        return [pair for pair in wanted if pair not in done]

    def complete(self, methods: Iterable[str], seeds: Sequence[int], say: Callable[[str], None]) -> None:
        """Compute the rows that are missing, one after the other, and keep each as soon as it is there."""
        for method, seed in self.missing(methods, seeds):
            row = self.compute(method, seed)
            self.add(row)
            say(f"{method}{'' if self.analytic else f', seed {seed}'}: {news(row)}")

    def compute(self, method: str, seed: int) -> Row:
        """Return the row of one method and seed, without keeping it."""
        if self.analytic:
            return rate_row(rate_of(method, self.game, self.lr, self.steps))
        config = configuration(method, self.game, seed, self.steps, self.lr, self.device)
        return training_row(train_one(config, self.path / "runs" / f"{method}-seed{seed}"))

    def add(self, row: Row) -> None:
        """Keep a row, in the folder too."""
        self.rows.append(row)
        content = {"comparison": self._setting, "rows": self.rows, **provenance()}
        self._write(self.results, json.dumps(content, indent=1) + "\n")

    def table(self) -> str:
        """Return the rows as a Markdown table, the best first."""
        return rates_table(self.rows) if self.analytic else trainings_table(self.rows)

    def explanation(self) -> str:
        """Return what the columns mean."""
        if not self.analytic:
            return TRAININGS
        return RATES + ("" if self.lr is not None else f" lr: the best of {len(GRID)}, {GRID[0]:g} to {GRID[-1]:g}.")

    def write(self) -> Path:
        """Write table and figure, and return the table's path."""
        draw = board.rates_figure if self.analytic else board.trainings_figure
        title = f"{self.game}, {self.steps} steps" if not self.analytic else f"{self.game} game"
        try:
            draw(ordered(self.rows), title).savefig(self.path / "figure.png")
        except OSError as error:
            raise unwritable(self.path, error) from None
        self._write(self.path / "table.md", f"{self.table()}\n\n{self.explanation()}\n")
        return self.path / "table.md"

    def _write(self, path: Path, content: str) -> None:
        try:
            write_atomically(path, content.encode())
        except OSError as error:
            raise unwritable(self.path, error) from None
