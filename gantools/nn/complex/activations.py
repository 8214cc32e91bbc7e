r"""Activations of complex numbers, in real and imaginary parts, so that every derivative at 0 is finite.

Written as $z/|z|$, the phase has a gradient of NaN at 0, where convolutions of empty image borders end up.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

from gantools.nn.activations import along_channels, register, require_complex
from gantools.nn.complex.layers import joined, parts


def modulus(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return a mask of the zeros of x + iy, and the modulus with 1 in their place: safe to divide by."""
    squared = x.square() + y.square()
    zero = squared == 0
    return zero, squared.masked_fill(zero, 1.0).sqrt()


def apply_modrelu(z: Tensor, bias: Tensor) -> Tensor:
    r"""Return $\mathrm{ReLU}(|z| + b)\, z/|z|$; real z keep their sign; the value and all derivatives at z = 0 are 0.

    The second derivatives of torch's own `abs` and `sgn` are NaN at 0.
    """
    if not z.is_complex():
        return relu(z.abs() + bias) * z.sign()
    zero, size = modulus(*parts(z).unbind(-1))
    return z * (relu(size + bias) / size).masked_fill(zero, 0.0)


class CReLU(nn.Module):
    r"""Apply $\mathrm{ReLU}(x) + i\,\mathrm{ReLU}(y)$ to $z = x + iy$ (Deep Complex Networks, arXiv:1705.09792).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        return joined(relu(parts(z)))


class ZReLU(nn.Module):
    r"""Keep z whose phase lies in $[0, \pi/2]$, else 0 (Guberman, arXiv:1602.09046).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        x, y = parts(z).unbind(-1)
        return z * ((x >= 0) & (y >= 0))


class ModReLU(nn.Module):
    r"""Apply $\mathrm{ReLU}(|z| + b)\, z / |z|$ with a learned real b for each unit (uRNN, arXiv:1511.06464).

    It keeps the phase. Real numbers keep their sign: $\mathrm{ReLU}(|x| + b)\,\mathrm{sign}(x)$, as in GORU
    (arXiv:1706.02761). With b = 0, where it starts, it is the identity; b > 0 makes it jump at 0; 0 goes to 0.

    Args:
        num_features: length of axis 1, or 1 for one b in the layer.
        bias: b at the start.
    """

    def __init__(self, num_features: int = 1, bias: float = 0.0):
        super().__init__()
        self.num_features = num_features
        self.bias = nn.Parameter(torch.full((num_features,), float(bias)))

    def forward(self, z: Tensor) -> Tensor:
        return apply_modrelu(z, along_channels(self.bias, z))

    def extra_repr(self) -> str:
        return f"{self.num_features}"


class Cardioid(nn.Module):
    r"""Apply $\tfrac12(1 + \cos\arg z)\, z$ (Virtue, Yu and Lustig, arXiv:1707.00070): ReLU where z is real.

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        x, y = parts(z).unbind(-1)
        return z * (0.5 + 0.5 * x / modulus(x, y)[1])


@register("crelu", "complex")
def crelu() -> nn.Module:
    """Apply ReLU to the real and the imaginary part (Deep Complex Networks, arXiv:1705.09792)."""
    return CReLU()


@register("zrelu", "complex")
def zrelu() -> nn.Module:
    """Keep complex numbers with both parts positive, zero elsewhere (arXiv:1602.09046)."""
    return ZReLU()


@register("modrelu", "real", "complex")
def modrelu(bias: float = 0.0, units: int | None = None) -> nn.Module:
    """Move the modulus by a learned bias, cut it at zero, and keep the phase (uRNN, arXiv:1511.06464)."""
    return ModReLU(units or 1, bias)


@register("cardioid", "complex")
def cardioid() -> nn.Module:
    """Scale complex z by (1 + cos arg z) / 2, which is ReLU on the real axis (arXiv:1707.00070)."""
    return Cardioid()
