"""A comparison of optimizers on one game: rows kept in a folder, one table and one figure."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from gantools import board
from gantools.board.pictures import png
from gantools.compare.contraction import GRID, rate_of
from gantools.compare.tables import (
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
from gantools.compare.trainings import RING, configuration, train_one, train_together
from gantools.errors import GantoolsError
from gantools.games.analytic import TOY_GAMES
from gantools.runs.code.stored import digest
from gantools.runs.code.trust import remember
from gantools.runs.config import TrainConfig
from gantools.runs.record import is_whole, sealed
from gantools.runs.store.atomic import read_file, unwritable, write_atomically
from gantools.runs.store.lock import LOCK_FILES, lock_folder
from gantools.runs.store.provenance import provenance
from gantools.runs.together.training import NotTogetherError
from gantools.runs.user_file import is_target, target_code
from gantools.sweeps.once import once
from gantools.sweeps.pool import Pool

GAMES = [*TOY_GAMES, RING]
TOY_STEPS = 1000
OURS = ("runs", *LOCK_FILES)


class Comparison:
    """A comparison kept in a folder; rows that the folder holds are not computed again.

    Attributes:
        path: the folder.
        game: an analytic game, ring8, or FILE.py:FUNCTION.
        lr: one learning rate for all methods, or None for the best or recommended ones.
        steps: updates of each method.
        device: of training runs; analytic games are on the CPU.
        analytic: whether the game is an analytic one.
        rows: results of a method and a seed each, as plain values.
    """

    def __init__(self, path: Path, game: str, lr: float | None, steps: int, device: str = "auto"):
        self.path, self.game, self.lr, self.steps, self.device = path, game, lr, steps, device
        self.analytic = game in TOY_GAMES
        self.results = path / "results.json"
        self.rows: list[Row] = []
        self._code: Row = {}
        self._trust()
        try:
            if self.results.exists():
                self._read()
            elif path.exists() and (not path.is_dir() or any(f.name not in OURS for f in path.iterdir())):
                raise GantoolsError(f"{path} holds other files: choose another --out.")
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(path, error) from None

    def _trust(self) -> None:
        """Let the runs execute a file that the user named, on this machine."""
        if is_target(self.game):
            code = target_code(self.game)
            remember(code, self.game.rpartition(":")[2])
            self._code = {"code": digest(code.to_dict())}

    @property
    def _setting(self) -> Row:
        return {"game": self.game, "lr": self.lr, "steps": self.steps} | self._code

    def _read(self) -> None:
        try:
            stored: Row = json.loads(read_file(self.results))
            if not is_whole(stored):
                raise ValueError("its checksum is wrong")
            setting, self.rows = stored["comparison"], list(stored["rows"])
        except (ValueError, KeyError, TypeError) as error:
            raise GantoolsError(f"{self.results} is damaged ({error}): choose another --out.") from None
        for name, value in self._setting.items():
            if setting.get(name) != value and not (name == "code" and name not in setting):  # from before it was noted
                raise GantoolsError(
                    f"{self.path} holds a comparison with {name} = {setting.get(name)}, not {value}: choose another "
                    "--out, or compare with that setting."
                )

    def missing(self, methods: Iterable[str], seeds: Sequence[int]) -> list[tuple[str, int]]:
        """Return the methods and seeds that have no row yet; an analytic game has no seeds."""
        done = {(row["method"], row["seed"]) for row in self.rows}
        wanted = [(method, seed) for method in methods for seed in ((0,) if self.analytic else seeds)]
        return [pair for pair in wanted if pair not in done]

    def complete(
        self, methods: Iterable[str], seeds: Sequence[int], say: Callable[[str], None], pool: Pool | None = None
    ) -> None:
        """Compute the missing rows; keep each at once, and `say` its result in a line.

        Args:
            methods: names of optimizers.
            seeds: of training runs; an analytic game has none.
            say: called with a line.
            pool: processes that compute a row each; by default this one computes all, one after the other.

        Raises:
            GantoolsError: when another process computes in the folder.
        """
        lock = lock_folder(self.path)
        try:
            if self.results.exists():
                self._read()  # another process may have added rows
            missing = self.missing(methods, seeds)
            pool = None if pool is None or pool.alone else pool
            if pool is not None:
                say(f"{len(missing)} runs in processes of their own; each result is told as it comes.")
            rows = self._here(missing, say) if pool is None else self._by(pool, missing)
            for done, row in enumerate(rows, 1):
                self.add(row)
                seed = "" if self.analytic else f", seed {row['seed']}"
                say(f"{row['method']}{seed}: {news(row)}" + ("" if pool is None else f" ({done} of {len(missing)})"))
        finally:
            lock.release()

    def _here(self, missing: Iterable[tuple[str, int]], say: Callable[[str], None]) -> Iterator[Row]:
        for method, pairs in itertools.groupby(missing, lambda pair: pair[0]):
            yield from self._rows(method, [seed for _, seed in pairs], say)

    def _by(self, pool: Pool, missing: Sequence[tuple[str, int]]) -> Iterator[Row]:
        """Yield the rows that other processes compute, as they end; each of them is kept where it is computed too."""
        (self.path / "runs").mkdir(exist_ok=True)
        for _, row in pool.completed(self.computed_once, missing):
            yield row

    def computed_once(self, method: str, seed: int) -> Row:
        """Return the row of one method and seed from beside its run, computed before or now, by one process alone."""
        self._trust()  # this may be another machine than that of the user
        path = self.path / "runs" / f"{method}-seed{seed}.json"
        return once(path, {**self._setting, "method": method, "seed": seed}, lambda: self.compute(method, seed))

    def _rows(self, method: str, seeds: Sequence[int], say: Callable[[str], None]) -> Iterator[Row]:
        """Yield the rows of a method, of all seeds together where they can be trained in one program."""
        if len(seeds) > 1 and not self.analytic:
            configs, paths = zip(*(self._run(method, seed) for seed in seeds), strict=True)
            try:
                yield from map(training_row, train_together(configs, paths))
                return
            except NotTogetherError as error:
                say(f"{method}, seeds one after another: {error}")
        for seed in seeds:
            yield self.compute(method, seed)

    def _run(self, method: str, seed: int) -> tuple[TrainConfig, Path]:
        config = configuration(method, self.game, seed, self.steps, self.lr, self.device)
        return config, self.path / "runs" / f"{method}-seed{seed}"

    def compute(self, method: str, seed: int) -> Row:
        """Return the row of one method and seed, without keeping it."""
        if self.analytic:
            return rate_row(rate_of(method, self.game, self.lr, self.steps))
        return training_row(train_one(*self._run(method, seed)))

    def add(self, row: Row) -> None:
        """Keep a row, in the folder too."""
        self.rows.append(row)
        content = {"comparison": self._setting, "rows": self.rows, **provenance()}
        self._write(self.results, json.dumps(sealed(content), indent=1) + "\n")

    def table(self) -> str:
        """Return the rows as a Markdown table, the best first."""
        return rates_table(self.rows) if self.analytic else trainings_table(self.rows)

    def explanation(self) -> str:
        """Return an explanation of the table's columns."""
        if not self.analytic:
            return TRAININGS
        return RATES + ("" if self.lr is not None else f" lr: the best of {len(GRID)}, {GRID[0]:g} to {GRID[-1]:g}.")

    def write(self) -> Path:
        """Write table and figure, and return the table's path."""
        draw = board.rates_figure if self.analytic else board.trainings_figure
        title = f"{self.game}, {self.steps} steps" if not self.analytic else f"{self.game} game"
        try:
            write_atomically(self.path / "figure.png", png(draw(ordered(self.rows), title)))
        except OSError as error:
            raise unwritable(self.path, error) from None
        self._write(self.path / "table.md", f"{self.table()}\n\n{self.explanation()}\n")
        return self.path / "table.md"

    def _write(self, path: Path, content: str) -> None:
        try:
            write_atomically(path, content.encode())
        except OSError as error:
            raise unwritable(self.path, error) from None
