"""The sentences with which a training run ends: what its own step does at the last point, and what the game is like."""

from collections.abc import Mapping

from gantools import analysis
from gantools.cli.analysed import verdict
from gantools.runs.config import Choice
from gantools.runs.looks import UPDATE

Spectra = Mapping[str, analysis.Spectrum]


def about_step(spectra: Spectra, optimizer: Choice) -> str:
    """Return what the eigenvalues of the trained method's own step say; empty where they were not computed."""
    if (update := spectra.get(UPDATE)) is None:
        return ""
    base = optimizer.settings.get("base")
    over = f" over {base.name}" if isinstance(base, Choice) else ""
    parameters = min(s.n for s in spectra.values())  # the game's own spectra have no more entries than these
    memory = ", memory included" if update.n > parameters else ""
    return f"One more step of {optimizer.name}{over} on a fixed batch{memory}: {verdict(update)}"


def about_game(spectra: Spectra) -> str:
    """Return both ends of the Jacobian's spectrum, and what they say of plain gradient steps; empty without one."""
    found = {tag.rpartition("/")[2]: s for tag, s in spectra.items() if tag != UPDATE}
    whole = found.get("jacobian")
    if whole is not None:
        real = whole.values.real[whole.converged]
        ends = f"real parts from {real.min():.3g} to {real.max():.3g}"
        return f"The game itself has {ends}. For plain gradient steps: {verdict(whole)}"
    ends = [(words, found[which]) for which, words in (("SR", "smallest"), ("LR", "largest")) if which in found]
    sure = [(words, s) for words, s in ends if s.converged[0]]
    words = " and ".join(f"{s.values.real[0]:.3g} as its {words} real part" for words, s in sure)
    head = f"The game itself has {words}. " if words else ""
    low = found.get("SR")
    return "" if low is None else f"{head}For plain gradient steps: {verdict(low)}"
