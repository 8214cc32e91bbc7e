"""The result of a diagnosis: findings with evidence, advice ranked by predicted effect, and what stays undecided."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Advice:
    """A change of the training that is predicted to help.

    Attributes:
        line: what to do, in a sentence; where there are no flags, what to change in the file.
        effect: what is predicted, and from what: a trial's numbers, or a rule.
        cost: what following it would cost if the diagnosis is wrong.
        flags: words to add to `gantools train FILE.py:FUNCTION ...`; empty where flags cannot do it.
        tried: whether the change was tried on a copy of the players.
    """

    line: str
    effect: str
    cost: str
    flags: tuple[str, ...] = ()
    tried: bool = False

    def __str__(self) -> str:
        flags = f" [{' '.join(self.flags)}]" if self.flags else ""
        return f"{self.line}{flags} Predicted: {self.effect} If wrong: {self.cost}"


@dataclasses.dataclass(frozen=True)
class Finding:
    """A cause of trouble.

    Attributes:
        cause: its name in the registry of causes.
        evidence: a sentence with numbers.
        certain: whether the evidence admits no other explanation.
        advice: what to change, best first.
        player: whose fault it is, where it is one player's.
        layer: the layer's name within the player, where it is one layer's.
        harm: by how much it is ranked among findings; 1 for a training that cannot succeed.
    """

    cause: str
    evidence: str
    certain: bool
    advice: tuple[Advice, ...] = ()
    player: str | None = None
    layer: str | None = None
    harm: float = 1.0

    @property
    def title(self) -> str:
        """The cause and whose it is, in words."""
        where = "".join(f", {noun} {name}" for noun, name in (("player", self.player), ("layer", self.layer)) if name)
        return f"{self.cause.replace('_', ' ')}{where}{'' if self.certain else ' (probably)'}"


@dataclasses.dataclass(frozen=True)
class Diagnosis:
    """What `diagnose` found.

    Attributes:
        findings: the causes of trouble, most harmful first.
        undecided: sentences that say what could not be decided, and what would decide it.
        spectrum: sentences about the spectrum of the Jacobian.
        numbers: the numbers behind them, by name.
        steps: how many real steps of the optimizer were followed.
        seconds: how long it took.
    """

    findings: tuple[Finding, ...]
    undecided: tuple[str, ...] = ()
    spectrum: tuple[str, ...] = ()
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    steps: int = 0
    seconds: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether no cause of trouble was found, and nothing was left undecided."""
        return not self.findings and not self.undecided

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain lists, numbers and texts, for JSON."""
        plain = dataclasses.asdict(self)
        for finding, found in zip(plain["findings"], self.findings, strict=True):
            finding["title"] = found.title
        return {"healthy": self.healthy, **plain}

    def __str__(self) -> str:
        lines = []
        if self.healthy:
            lines += [f"Healthy: no cause of trouble was found in {self.steps} steps. Look elsewhere."]
        elif not self.findings:
            lines += [f"No cause of trouble was found in {self.steps} steps."]
        for number, finding in enumerate(self.findings, 1):
            lines += [f"{number}. {finding.title}: {finding.evidence}"]
            for advice in finding.advice:
                lines += [f"   - {advice.line}"]
                lines += [f"     add: {' '.join(advice.flags)}"] if advice.flags else []
                lines += [f"     predicted: {advice.effect}", f"     if wrong: {advice.cost}"]
        lines += [f"Undecided: {sentence}" for sentence in self.undecided]
        lines += [f"Spectrum: {sentence}" for sentence in self.spectrum]
        return "\n".join(lines)
