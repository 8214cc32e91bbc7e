"""Draw the figures of docs/activations.md and docs/complex.md, computed by the units themselves.

python scripts/checks/draw_units.py [--out docs]
"""

import argparse
import math
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import torch
from matplotlib.colors import hsv_to_rgb
from matplotlib.figure import Figure
from torch import Tensor

from gantools.nn import ACTIVATIONS, ComplexBatchNorm, ComplexLinear, UnitaryLinear, activation
from gantools.nn.activations import accepts
from gantools.nn.complex.layers import as_complex

COMPLEX = ("crelu", "zrelu", "modrelu(bias=-0.7)", "cardioid")
ESPS = ("esp(beta=0.3)", "esp", "esp(beta=5.0)")


def _curve(axes: Any, spec: str, label: str, **style: Any) -> None:
    x = torch.linspace(-4, 4, 401, requires_grad=True)
    y = activation(spec)(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    (line,) = axes.plot(x.detach(), y.detach(), label=label, **style)
    axes.plot(x.detach(), slope, linestyle="--", linewidth=0.9, color=line.get_color())


def _plane(axes: Any, spec: str) -> None:
    """Colour the plane by the phase of the output, darker where its modulus is smaller."""
    ticks = torch.linspace(-2, 2, 401)
    y, x = torch.meshgrid(ticks, ticks, indexing="ij")
    with torch.no_grad():
        out = activation(spec)(torch.complex(x, y)).numpy()
    hue = (np.angle(out) / (2 * math.pi)) % 1
    colours = hsv_to_rgb(np.stack([hue, np.full_like(hue, 0.75), np.clip(abs(out) / 2, 0, 1) ** 0.7], -1))
    axes.imshow(colours, origin="lower", extent=(-2, 2, -2, 2))
    axes.set_title(spec, fontsize=9)
    axes.set_xlabel("Re z", fontsize=8)
    axes.set_ylabel("Im z", fontsize=8)
    axes.tick_params(labelsize=7)


def activations_figure() -> Figure:
    """Return the real activations with their slopes, and the complex ones on the plane."""
    figure = Figure(figsize=(11, 6.2), layout="constrained")
    real = [name for name in ACTIVATIONS if accepts(name) == ("real",) and name != "esp"]
    panels = {"kinked": ("relu", "leaky_relu", "elu"), "smooth": ("gelu", "silu", "softplus"), "ESP": ESPS}
    panels["bounded"] = tuple(name for name in real if all(name not in names for names in panels.values()))
    for index, (title, specs) in enumerate(panels.items()):
        axes = figure.add_subplot(2, 4, index + 1)
        for spec in specs:
            _curve(axes, spec, spec)
        axes.set_title(f"{title} (slope dashed)", fontsize=9)
        axes.set_ylim(-1.2, 3)
        axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
        axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
        axes.legend(fontsize=7, loc="upper left")
        axes.tick_params(labelsize=7)
    for index, spec in enumerate(COMPLEX):
        _plane(figure.add_subplot(2, 4, 5 + index), spec)
    return figure


def _scatter(axes: Any, z: Tensor, title: str, reach: float) -> None:
    axes.plot(z.real, z.imag, ".", markersize=2)
    axes.set_title(title, fontsize=9)
    axes.set_xlim(-reach, reach)
    axes.set_ylim(-reach, reach)
    axes.set_aspect("equal")
    axes.axhline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.axvline(0, color="0.8", linewidth=0.6, zorder=0)
    axes.tick_params(labelsize=7)


def complex_figure() -> Figure:
    """Return whitening, initial weights, and the spectra of a free and a unitary layer."""
    figure = Figure(figsize=(11, 3.2), layout="constrained")
    rng = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 1500, generator=rng)
    z = torch.complex(1.5 + 1.2 * x, 0.9 * x + 0.4 * y)
    with torch.no_grad():
        white = ComplexBatchNorm(1)(z[:, None])[:, 0]
        _scatter(figure.add_subplot(1, 4, 1), z, "a channel", 5)
        _scatter(figure.add_subplot(1, 4, 2), white, "after ComplexBatchNorm", 5)
        modulus = as_complex(ComplexLinear(400, 300, rng=rng).weight).abs().flatten() * math.sqrt(400)
        axes = figure.add_subplot(1, 4, 3)
        axes.hist(modulus.numpy(), 80, density=True, color="0.75")
        r = np.linspace(0, 5, 200)
        axes.plot(r, r * np.exp(-(r**2) / 2), color="C3", label="Rayleigh")
        axes.set_title(r"initial $|W|\sqrt{n_{in}}$", fontsize=9)
        axes.legend(fontsize=7)
        axes.tick_params(labelsize=7)
        n = 128
        free = torch.linalg.eigvals(as_complex(ComplexLinear(n, n, rng=rng).weight)) / math.sqrt(2)
        unitary = torch.linalg.eigvals(UnitaryLinear(n, rng=rng).matrix())
        axes = figure.add_subplot(1, 4, 4)
        _scatter(axes, free, "eigenvalues of a layer", 1.3)
        axes.plot(unitary.real, unitary.imag, ".", markersize=2, color="C3")
        axes.legend(
            [axes.lines[0], axes.lines[-1]], ["ComplexLinear / sqrt 2", "UnitaryLinear"], fontsize=7, loc="center"
        )
    return figure


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    args = parser.parse_args()
    matplotlib.use("Agg")
    torch.manual_seed(0)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in (("activations", activations_figure()), ("complex", complex_figure())):
        figure.savefig(args.out / f"{name}.png", dpi=110)
        print(args.out / f"{name}.png")


if __name__ == "__main__":
    main()
