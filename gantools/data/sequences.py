r"""Generated sequence tasks for recurrent nets, each with the least loss of a net without memory.

    task = Copying(delay=30)
    batch = task.batch(20, rng)                   # {"input": (B, T, input_size), "target": ...}
    loss = task.loss(model(batch["input"]), batch)     # the model's outputs: (B, T, output_size)

`baseline` is the least loss of answers that depend on the task and the number of the step alone. In classification,
targets are (B, T) class numbers, -100 where no answer is asked; losses are means over those asked.
"""

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from gantools.errors import GantoolsError
from gantools.registry import Registry, setting

SEQUENCE_TASKS: Registry[Any] = Registry("sequence task")
TASKS = SEQUENCE_TASKS  # the name in earlier versions

_UNASKED = -100


@dataclasses.dataclass(frozen=True)
class SequenceTask:
    """Base class of the sequence tasks; a size below the least raises `GantoolsError` at construction."""

    input_size: ClassVar[int]
    output_size: ClassVar[int]

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            least = field.metadata.get("least", 1)
            if getattr(self, field.name) < least:
                raise GantoolsError(f"{field.name} = {getattr(self, field.name)}: pass at least {least}.")

    @property
    def steps(self) -> int:
        """Length T of a sequence."""
        raise NotImplementedError

    @property
    def baseline(self) -> float:
        """Least loss without memory."""
        raise NotImplementedError

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """Return `size` new sequences and their targets."""
        raise NotImplementedError

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean loss of outputs (B, T, output_size)."""
        return F.cross_entropy(outputs.flatten(0, 1), batch["target"].flatten(), ignore_index=_UNASKED)

    def accuracy(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the fraction of answers that are right."""
        asked = batch["target"] != _UNASKED
        return ((outputs.argmax(-1) == batch["target"]) & asked).sum() / asked.sum()


def _one_hot(numbers: Tensor, classes: int) -> Tensor:
    return F.one_hot(numbers, classes).to(torch.get_default_dtype())


def _integers(low: int, high: int, shape: tuple[int, ...], rng: torch.Generator | None) -> Tensor:
    return torch.randint(low, high, shape, generator=rng)


_BLANK, _DELIMITER, _LENGTH = 8, 9, 10


def _repetition(symbols: Tensor, steps: int) -> dict[str, Tensor]:
    """Return a batch that shows symbols (B, 10) first, and asks for them after a delimiter, 10 steps before the end."""
    shown = torch.full((len(symbols), steps), _BLANK)
    target = shown.clone()
    shown[:, :_LENGTH] = symbols
    shown[:, -_LENGTH - 1] = _DELIMITER
    target[:, -_LENGTH:] = symbols
    return {"input": _one_hot(shown, _DELIMITER + 1), "target": target}


class _DelayedSymbols(SequenceTask):
    """Base class of tasks that ask for ten of several symbols after a delay."""

    symbols: ClassVar[int]
    delay: int

    @property
    def steps(self) -> int:
        return self.delay + 2 * _LENGTH

    @property
    def baseline(self) -> float:
        return _LENGTH * math.log(self.symbols) / self.steps


@SEQUENCE_TASKS.register("copying")
@dataclasses.dataclass(frozen=True)
class Copying(_DelayedSymbols):
    r"""Repeat ten symbols after a delay (arXiv:1511.06464, section 5.1).

    Ten of the symbols 0..7, T - 1 blanks (8), a delimiter (9), ten blanks; answers: T + 10 blanks, then the symbols.
    Without memory $10 \ln 8 / (T + 20)$.
    """

    delay: int = setting(100, "T, steps between the symbols and their repetition")

    input_size = 10
    output_size = 9
    symbols = 8

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        return _repetition(_integers(0, 8, (size, _LENGTH), rng), self.steps)


@SEQUENCE_TASKS.register("adding")
@dataclasses.dataclass(frozen=True)
class Adding(SequenceTask):
    r"""Add the two marked ones of T uniform numbers, one marked in each half (arXiv:1511.06464, section 5.2).

    Input: number and mark; target (B,); the answer is the output of the last step. Without memory the best answer is
    1, with the mean squared error $2 \cdot \tfrac1{12} = \tfrac16$.
    """

    length: int = dataclasses.field(default=100, metadata={"help": "T, numbers in a sequence", "least": 2})

    input_size = 2
    output_size = 1

    @property
    def steps(self) -> int:
        return self.length

    @property
    def baseline(self) -> float:
        return 1 / 6

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        numbers = torch.rand(size, self.length, generator=rng)
        half = self.length // 2
        marked = torch.cat([_integers(0, half, (size, 1), rng), _integers(half, self.length, (size, 1), rng)], 1)
        marks = torch.zeros(size, self.length).scatter_(1, marked, 1.0)
        return {"input": torch.stack([numbers, marks], -1), "target": numbers.gather(1, marked).sum(1)}

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        return F.mse_loss(outputs[:, -1, 0], batch["target"])

    def accuracy(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the fraction of sums within 0.04, the usual measure."""
        return ((outputs[:, -1, 0] - batch["target"]).abs() < 0.04).float().mean()


@SEQUENCE_TASKS.register("denoising")
@dataclasses.dataclass(frozen=True)
class Denoising(_DelayedSymbols):
    r"""Pick ten symbols out of noise and repeat them in order (GORU, arXiv:1706.02761).

    Ten of the symbols 1..9 at random places among T + 9 steps of noise (0), a marker (10), ten steps of noise; answers:
    T + 10 times noise, then the symbols. (The authors' script draws places with replacement, so that symbols fall on
    each other, and leaves the marker out of its input: not here.) Without memory $10 \ln 9 / (T + 20)$.
    """

    delay: int = setting(100, "T, steps of noise")

    input_size = 11
    output_size = 10
    symbols = 9

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        symbols = _integers(1, 10, (size, _LENGTH), rng)
        room = self.delay + _LENGTH - 1
        places = torch.rand(size, room, generator=rng).argsort(1)[:, :_LENGTH].sort(1).values
        shown = torch.zeros(size, self.steps, dtype=torch.long).scatter_(1, places, symbols)
        shown[:, room] = 10
        target = torch.zeros(size, self.steps, dtype=torch.long)
        target[:, -_LENGTH:] = symbols
        return {"input": _one_hot(shown, self.input_size), "target": target}


@SEQUENCE_TASKS.register("episodic_copy")
@dataclasses.dataclass(frozen=True)
class EpisodicCopy(SequenceTask):
    r"""Repeat one to ten symbols after a delay (Associative LSTM, arXiv:1602.03032).

    l symbols of 0..7, l uniform in 1..10, blanks (8) up to step 10 + T, a delimiter (9), ten blanks; answers: blanks,
    and after the delimiter the l symbols. Without memory, at the j-th step after the delimiter, the answer is a blank
    with probability (j - 1)/10 and each symbol with (11 - j)/80: the mean entropy over the steps.
    """

    delay: int = setting(100, "T, blanks after the longest sequence")

    input_size = 10
    output_size = 9

    @property
    def steps(self) -> int:
        return self.delay + 2 * _LENGTH + 1

    @property
    def baseline(self) -> float:
        entropy = 0.0
        for j in range(1, _LENGTH + 1):
            blank, symbol = (j - 1) / 10, (11 - j) / 80
            entropy -= 8 * symbol * math.log(symbol) + (blank * math.log(blank) if blank else 0.0)
        return entropy / self.steps

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        lengths = _integers(1, _LENGTH + 1, (size, 1), rng)
        symbols = _integers(0, 8, (size, _LENGTH), rng)
        symbols = symbols.masked_fill(torch.arange(_LENGTH) >= lengths, _BLANK)
        return _repetition(symbols, self.steps)


@SEQUENCE_TASKS.register("associative_recall")
@dataclasses.dataclass(frozen=True)
class AssociativeRecall(SequenceTask):
    r"""Store pairs of key and value, of which a key's last one counts, and recall values by key.

    Each writing step shows a random key and a random value, each query the key of a random writing step; answers only
    at queries. The input joins key, value and a mark of queries. Without memory $\ln(\mathrm{values})$.
    """

    keys: int = setting(8, "number of keys")
    values: int = setting(8, "number of values")
    writes: int = setting(16, "pairs written; more than keys, so that values are replaced")
    queries: int = setting(4, "keys asked for")

    @property
    def input_size(self) -> int:  # type: ignore[override]
        """Length of an input vector."""
        return self.keys + self.values + 1

    @property
    def output_size(self) -> int:  # type: ignore[override]
        """Length of an output vector."""
        return self.values

    @property
    def steps(self) -> int:
        return self.writes + self.queries

    @property
    def baseline(self) -> float:
        return math.log(self.values)

    def batch(self, size: int, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        keys = _integers(0, self.keys, (size, self.writes), rng)
        values = _integers(0, self.values, (size, self.writes), rng)
        asked = keys.gather(1, _integers(0, self.writes, (size, self.queries), rng))
        # The number of the last writing step with that key.
        last = ((keys[:, None] == asked[..., None]) * torch.arange(1, self.writes + 1)).argmax(-1)
        written = torch.cat([_one_hot(values, self.values), torch.zeros(size, self.queries, self.values)], 1)
        mark = torch.zeros(size, self.steps, 1)
        mark[:, self.writes :] = 1
        target = torch.full((size, self.steps), _UNASKED)
        target[:, self.writes :] = values.gather(1, last)
        shown = _one_hot(torch.cat([keys, asked], 1), self.keys)
        return {"input": torch.cat([shown, written, mark], -1), "target": target}
