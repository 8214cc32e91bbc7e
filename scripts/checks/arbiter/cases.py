"""One case of `check_arbiter.py`, and its Jacobian along a direction by differences of plain autograd in float64."""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import gantools as gt
from gantools.batches import map_tensors

DTYPES = (torch.float32, torch.float64)
WIDER = {torch.float32: torch.float64, torch.complex64: torch.complex128}
STEPS = (1e-3, 1e-4, 1e-5, 1e-6, 1e-7)  # relative to the parameters; the best counts, since rounding and kinks differ


@dataclasses.dataclass
class Case:
    """Players with their losses on a batch.

    Attributes:
        name: what it is made of.
        players: the modules by name.
        losses: `losses(players, batch)`, the scalar of every player.
        batch: the batch.
        compared: "as it is": the product in its own precision with differences in float64; "in double": both in
            float64, since the case computes in a low precision; "no": differences mean nothing (a kink at the point, a
            module that copies cannot replace).
    """

    name: str
    players: dict[str, nn.Module]
    losses: Callable[[Mapping[str, nn.Module], Any], dict[str, Tensor]]
    batch: Any
    compared: str = "as it is"

    def __post_init__(self) -> None:
        self.untouched = copy.deepcopy(self.players)  # older hooks leave what cannot be copied after a forward pass

    def operator(self) -> gt.analysis.operators.linear_operator.LinearOperator:
        """Return what gantools gives, at its default settings."""
        if list(self.players) == ["model"]:
            loss = lambda model, batch: self.losses({"model": model}, batch)["model"]  # noqa: E731
            return gt.analysis.hessian(self.players["model"], loss, self.batch)
        # At the standing singular vectors of spectral norm, as the differences are.
        return gt.analysis.jacobian(gt.Game(self.players, self.losses), self.batch, spectral_norm="frozen")

    def doubled(self) -> "Case":
        """Return a deep copy in float64."""
        players = copy.deepcopy(self.untouched)
        for player in players.values():
            widened(player)
        return dataclasses.replace(self, players=players, batch=map_tensors(_wider, self.batch))

    def direction(self) -> Tensor:
        """Return a direction (n,) in which every parameter moves by about its size."""
        source = torch.Generator().manual_seed(3)
        pieces = []
        for p in _parameters(self.players):
            x = _as_real(p.detach()).double().reshape(-1)
            pieces.append(
                (x.abs() + x.abs().mean() + 1e-3) * torch.randn(len(x), generator=source, dtype=torch.float64)
            )
        return torch.cat(pieces)

    def error(self, operator: Any) -> float | None:
        """Return the relative error of a product against differences of plain autograd; None where there are none."""
        if self.compared == "no":
            return None
        there = self.doubled()
        u = there.direction()
        product = ((there.operator() if self.compared == "in double" else operator) @ u.to(operator.dtype)).double()
        try:
            with sdpa_kernel(SDPBackend.MATH):
                wholes = [there.difference(u, step) for step in STEPS]
        except RuntimeError as error:
            if "is not implemented" in str(error):  # a gradient penalty through a kernel of one derivative
                return None
            raise
        errors = [float((product - whole).norm() / whole.norm().clamp(min=1e-12)) for whole in wholes]
        return min(errors)

    def difference(self, u: Tensor, h: float) -> Tensor:
        """Return the derivative of the field along u, by differences of fourth order at the step h."""
        near, far = (self.plain_field(k * h * u) - self.plain_field(-k * h * u) for k in (1, 2))
        return (8 * near - far) / (12 * h)

    def plain_field(self, shift: Tensor) -> Tensor:
        """Return the field, by plain autograd, where the parameters are shifted by this vector (n,)."""
        case = self.doubled()
        _freeze_power_iterations(case.players)
        parameters = _parameters(case.players)
        pieces = shift.split([_as_real(p).numel() for p in parameters])
        for p, piece in zip(parameters, pieces, strict=True):
            _as_real(p.data).add_(piece.view_as(_as_real(p.data)))
        found = []
        for player, loss in case.losses(gt.Game(case.players, case.losses).players, case.batch).items():
            own = _parameters({player: case.players[player]})
            gradients = torch.autograd.grad(loss, own, retain_graph=True, allow_unused=True, materialize_grads=True)
            found += [_as_real(g.detach()).double().reshape(-1) for g in gradients]
        return torch.cat(found)


def widened(module: nn.Module) -> None:
    """Take a module's real tensors to float64 and its complex ones to complex128."""
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data = _wider(tensor.data)


def _wider(x: Tensor) -> Tensor:
    return x.to(WIDER.get(x.dtype, x.dtype))


def _as_real(x: Tensor) -> Tensor:
    return torch.view_as_real(x) if x.is_complex() else x


def _parameters(players: Mapping[str, nn.Module]) -> list[nn.Parameter]:
    return [p for player in players.values() for p in player.parameters() if p.requires_grad]


def _freeze_power_iterations(players: Mapping[str, nn.Module]) -> None:
    for player in players.values():
        for m in player.modules():
            for owner in (m, *m._forward_pre_hooks.values()):
                if hasattr(owner, "n_power_iterations"):
                    owner.n_power_iterations = 0  # type: ignore[attr-defined]
