r"""Complex linear maps and convolutions: complex tensors in and out, parameters stored as real tensors (..., 2).

$$W * z = (A * x - B * y) + i (B * x + A * y), \qquad W = A + iB,\ z = x + iy$$

(Deep Complex Networks, arXiv:1705.09792, section 3.2). Stored so, parameters can be differentiated by everything that
refuses complex leaves (`torch.func.hessian`), and a game's spectrum is that of its true real field.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.nn.activations import require_complex
from gantools.nn.complex.init import complex_he_

# From this many products of input and output channels in a group on, the three multiplications of Gauss beat the four
# of the block kernel, which needs fewer passes over memory; but not for channels that fill no whole vectors of 16
# (scripts/benchmarks/bench_complex.py).
_GAUSS, _VECTOR = 32 * 32, 16


def real_dtype(dtype: torch.dtype | None) -> torch.dtype:
    """Return the dtype of the real and imaginary parts of numbers of a dtype; None is PyTorch's default."""
    dtype = dtype or torch.get_default_dtype()
    return dtype.to_real() if dtype.is_complex else dtype


class _Stored:
    """Mixin that stores the parameters of a `torch.nn` layer as real tensors with a last axis of two.

    The arguments are those of the layer; `dtype` may be a real one or the complex one that it stands for, and `rng`
    draws the weights, with He's variance $E|W|^2 = 2/n_{in}$ (the global generator without it). Biases are zero.
    """

    weight: nn.Parameter  # PyTorch's stubs say Tensor
    bias: nn.Parameter | None
    transposed = False

    def __init__(
        self, *args: Any, device: Any = None, dtype: Any = None, rng: torch.Generator | None = None, **kwargs: Any
    ):
        # On "meta" the layer checks its arguments and finds its shapes, and draws nothing.
        super().__init__(*args, device="meta", **kwargs)  # type: ignore[call-arg]
        real = real_dtype(dtype)
        self.weight = nn.Parameter(torch.empty((*self.weight.shape, 2), device=device, dtype=real))
        if self.bias is not None:
            self.bias = nn.Parameter(torch.empty((*self.bias.shape, 2), device=device, dtype=real))
        self.reset_parameters(rng)

    def reset_parameters(self, rng: torch.Generator | None = None) -> None:
        """Draw the weights and zero the biases."""
        if self.weight.is_meta:
            return
        complex_he_(self.weight, rng, self.transposed)
        if self.bias is not None:
            nn.init.zeros_(self.bias)


def as_complex(stored: Tensor) -> Tensor:
    """Return the complex tensor of a stored one (..., 2), whatever its strides and offset."""
    return torch.complex(stored[..., 0], stored[..., 1])


def parts(z: Tensor) -> Tensor:
    """Return the real and imaginary parts (..., 2) of a complex tensor, a view."""
    return torch.view_as_real(z.resolve_conj())


def joined(x: Tensor) -> Tensor:
    """Return new real and imaginary parts (..., 2) as a complex tensor: a view, where they are neighbours in memory."""
    *strides, last = x.stride()
    if last == 1 and all(stride % 2 == 0 for stride in strides):
        return torch.view_as_complex(x)
    return as_complex(x)


class ComplexLinear(_Stored, nn.Linear):  # pyright: ignore[reportIncompatibleVariableOverride]
    """`torch.nn.Linear` of complex numbers: `weight` (out, in, 2), `bias` (out, 2).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        require_complex(self, input)
        return F.linear(input, as_complex(self.weight), None if self.bias is None else as_complex(self.bias))


class _Convolution(_Stored):
    groups: int

    def _real(self, x: Tensor, kernel: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
        """Apply the layer's own real convolution."""
        return self._conv_forward(x, kernel, bias)  # type: ignore[attr-defined]

    def _convolve(self, z: Tensor, padding: Any = None) -> Tensor:
        require_complex(self, z)  # type: ignore[arg-type]
        outer, inner = self.weight.shape[0] // self.groups, self.weight.shape[1]
        wide = outer * inner >= _GAUSS and outer % _VECTOR == inner % _VECTOR == 0
        return (self._gauss if wide else self._block)(z, padding)

    def _block(self, z: Tensor, padding: Any) -> Tensor:
        """Apply one real convolution; real and imaginary parts are neighbouring channels, so that groups stay groups.

        With channels last, complex numbers already lie in memory in that order and nothing is copied.
        """
        channel = z.dim() - self.weight.dim() + 2  # 1 with a batch axis, 0 without
        # Not `contiguous(memory_format=channels_last)`, which torch.func.vmap refuses.
        x = parts(z.movedim(channel, -1).contiguous()).flatten(-2).movedim(-1, channel)
        a, b = self.weight.unbind(-1)
        upper, lower = ([a, b], [-b, a]) if self.transposed else ([a, -b], [b, a])
        kernel = torch.stack([torch.stack(upper, 2), torch.stack(lower, 2)], 1).flatten(2, 3).flatten(0, 1)
        out = self._real(x, kernel, None if self.bias is None else self.bias.flatten(), padding)
        return joined(out.movedim(channel, -1).unflatten(-1, (-1, 2))).movedim(-1, channel)

    def _gauss(self, z: Tensor, padding: Any) -> Tensor:
        r"""Apply three real convolutions (Gauss): $p + q + i (r - p + q)$.

        Here $p = A * x$, $q = -B * y$ and $r = (A + B) * (x + y)$.
        """
        x, y = (part.contiguous() for part in parts(z).unbind(-1))
        a, b = (part.contiguous() for part in self.weight.unbind(-1))
        with_q = with_r = None
        if self.bias is not None:
            real, imaginary = self.bias.unbind(-1)
            with_q, with_r = real, imaginary - real
        p, q = self._real(x, a, None, padding), self._real(y, -b, with_q, padding)
        r = self._real(x + y, a + b, with_r, padding)
        return torch.complex(p + q, r - p + q)


class ComplexConv1d(_Convolution, nn.Conv1d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """`torch.nn.Conv1d` of complex numbers: `weight` (out, in / groups, kernel, 2), `bias` (out, 2).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(input)


class ComplexConv2d(_Convolution, nn.Conv2d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """`torch.nn.Conv2d` of complex numbers: `weight` (out, in / groups, *kernel, 2), `bias` (out, 2).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._convolve(input)


class ComplexConvTranspose2d(_Convolution, nn.ConvTranspose2d):  # pyright: ignore[reportIncompatibleVariableOverride]
    """`torch.nn.ConvTranspose2d` of complex numbers: `weight` (in, out / groups, *kernel, 2), `bias` (out, 2).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    transposed = True

    def _real(self, x: Tensor, kernel: Tensor, bias: Tensor | None, padding: Any) -> Tensor:
        return F.conv_transpose2d(x, kernel, bias, self.stride, self.padding, padding, self.groups, self.dilation)  # type: ignore[arg-type]

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        shape = [list(v) for v in (self.stride, self.padding, self.kernel_size)]
        extra = self._output_padding(input, output_size, *shape, 2, list(self.dilation))  # type: ignore[arg-type]
        return self._convolve(input, extra)
