"""Complex networks against real ones on the notes of chorales: each rate is tried, and validation chooses."""

from pathlib import Path
from typing import Any

import torch
from cells.nets import chorales, complex_cells, music
from harness import study
from torch import Tensor, nn

from gantools.data.seeds import derive_seed


def heard(cell: study.Cell, part: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs (N, 1, BINS), complex or their moduli, and labels of a part of the pieces."""
    sounds, labels = chorales.windows(cell["music"], cell["pieces"], part, seed, cell["windows"])
    inputs = music.spectra(sounds, chorales.BINS)
    return (inputs.abs() if cell["input"] == "magnitudes" else inputs).unsqueeze(1), labels


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train a net with each rate from the same weights on the same batches; judge the one best in validation."""

    def drawn(name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive_seed(seed, name))

    data = {part: heard(cell, part, seed) for part in chorales.PARTS}
    found: list[dict[str, Any]] = []
    for rate in cell["rates"]:
        net = complex_cells.listener(cell, drawn("parameters"))
        seconds = complex_cells.trained(net, *data["train"], {**cell, "rate": rate}, drawn("batches"))
        validation, test = (judged(net, *data[part]) for part in ("validation", "test"))
        found.append({**test, "validation": validation["precision"], "rate": rate, "taken": seconds})
        size = sum(p.numel() for p in net.parameters())
    best = max(found, key=lambda one: one["validation"])
    own = {**complex_cells.reference(cell), "rate": best["rate"]}
    beside = complex_cells.trained(complex_cells.listener(own, drawn("beside")), *data["train"], own, drawn("rows"))
    return {"parameters": size, "step": best.pop("taken") / beside, **best}


def judged(net: nn.Module, inputs: Tensor, labels: Tensor) -> dict[str, Any]:
    """Return a net's average precision, with chance and the curve."""
    net.eval()
    with torch.no_grad():
        return complex_cells.judged(labels, net(inputs))
