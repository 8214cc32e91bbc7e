r"""Penalties on the gradient of the discriminator's score by its input.

Each is charged to the discriminator alone. Nothing is detached: a penalty on generated samples depends on the
generator, and so the Jacobian of the game does. Together with instance noise they are taken at the noisy samples, where
the discriminator is evaluated. A weight may be a schedule.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.regularizers.base import REGULARIZERS, Pass, Regularizer, is_zero, normal, uniform
from gantools.schedules import Scheduled

Noise = Literal["uniform", "normal"]


def input_gradient(samples: Tensor, scores: Tensor) -> Tensor:
    r"""Return $\nabla_x D(x)$ for each sample, (B, n), differentiable in everything $D$ depends on."""
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return gradient.reshape(len(gradient), -1)


def row_norms(rows: Tensor) -> Tensor:
    """Return the Euclidean norm of each row (B, n), (B,); its derivatives at 0 are 0.

    The derivative of a plain sqrt(sum of squares) is NaN there, and where the squares or their powers leave the range
    of the dtype, its second one is infinite. So rows are brought to unit size first; the norm is homogeneous, and the
    scale has no derivative.
    """
    scale = rows.detach().abs().amax(1)
    nonzero = scale > 0
    scale = torch.where(nonzero, scale.clamp_min(torch.finfo(scale.dtype).tiny), 1)  # whose inverse is finite
    squared = (rows / scale[:, None]).square().sum(1)
    return scale * torch.where(nonzero, torch.where(nonzero, squared, 1).sqrt(), 0)


def differentiable(samples: Tensor) -> Tensor:
    """Return samples by which scores can be differentiated."""
    return samples if samples.requires_grad else samples.detach().requires_grad_()


def interpolates(seen: Pass, mix: Tensor, who: Regularizer) -> Tensor:
    r"""Return $\epsilon x + (1 - \epsilon) G(z)$ for coefficients $\epsilon$ (B,), one for each pair of samples."""
    if seen.real.shape != seen.fake.shape:
        raise GantoolsError(
            f"{type(who).__name__} pairs real with fake samples, but there are {len(seen.real)} and {len(seen.fake)}: "
            "draw as many latents as real samples."
        )
    mix = mix.reshape(-1, *[1] * (seen.real.dim() - 1))
    return mix * seen.real + (1 - mix) * seen.fake


@dataclasses.dataclass(frozen=True)
class _SquaredNorm(Regularizer):
    gamma: Scheduled = setting(
        10.0, "weight; the term is gamma/2 times the mean squared gradient norm, as in the paper"
    )

    def __post_init__(self) -> None:
        self.require_weight("gamma")

    def term(self, seen: Pass, samples: Tensor, scores: Tensor) -> dict[str, Tensor]:
        if is_zero(gamma := self.value("gamma", seen.batch)):
            return {}
        return {"discriminator": 0.5 * gamma * input_gradient(samples, scores).square().sum(1).mean()}


@REGULARIZERS.register("r1")
@dataclasses.dataclass(frozen=True)
class R1(_SquaredNorm):
    r"""Penalise the discriminator's gradient on real data (Mescheder, Geiger, Nowozin 2018, arXiv:1801.04406).

    $$\frac{\gamma}{2}\ \mathbb{E}_{x \sim \mathrm{data}} \lVert\nabla_x D(x)\rVert^2$$

    The authors' code has no 1/2: its `reg_param` 10 is gamma = 20 here. R3GAN's and StyleGAN's gamma are this one.
    """

    needs_input_gradient = True

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        return self.term(seen, seen.real, seen.real_scores)


@REGULARIZERS.register("r2")
@dataclasses.dataclass(frozen=True)
class R2(_SquaredNorm):
    r"""Penalise the discriminator's gradient on generated data (arXiv:1801.04406; with R1 in R3GAN, arXiv:2501.05441).

    $$\frac{\gamma}{2}\ \mathbb{E}_{x \sim G} \lVert\nabla_x D(x)\rVert^2$$

    The generator is not charged with it, but it does depend on the generator, and so the Jacobian does. R3GAN is the
    relativistic loss with R1 and R2 of one gamma.
    """

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        return self.term(seen, seen.fake, seen.fake_scores)


@REGULARIZERS.register("zero_centred")
@dataclasses.dataclass(frozen=True)
class ZeroCentred(Regularizer):
    r"""Penalise the discriminator's gradient between real and fake data (Thanh-Tung et al. 2019, arXiv:1902.03984).

    $$\lambda\ \mathbb{E} \lVert\nabla_{\hat x} D(\hat x)\rVert^2, \qquad
      \hat x = \epsilon x + (1 - \epsilon) G(z), \quad \epsilon \sim U[0, 1]$$

    No 1/2, as in the paper and in GAN_stability's `wgangp0`: lambda = gamma/2 of R1. It draws "zero_centred.mix" (B,).
    """

    weight: Scheduled = setting(10.0, "weight lambda of the mean squared gradient norm; no 1/2")

    def __post_init__(self) -> None:
        self.require_weight("weight")

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        return {"zero_centred.mix": uniform((len(batch["real"]),), batch["real"], generator)}

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        if is_zero(weight := self.value("weight", seen.batch)):
            return {}
        between = interpolates(seen, self.drawn("zero_centred.mix", seen.batch, seen.real), self)
        gradient = input_gradient(between, seen.discriminate(between))
        return {"discriminator": weight * gradient.square().sum(1).mean()}


@dataclasses.dataclass(frozen=True)
class _TargetNorm(Regularizer):
    weight: Scheduled = setting(10.0, "weight lambda of the mean squared distance of the gradient norm; no 1/2")
    target: float = setting(1.0, "the gradient norm aimed at")

    def __post_init__(self) -> None:
        self.require_weight("weight")
        if not self.target >= 0:
            raise GantoolsError(f"target = {self.target} is not a norm: pass a number of at least 0.")

    def distance(self, seen: Pass, samples: Tensor) -> Tensor:
        samples = differentiable(samples)
        return row_norms(input_gradient(samples, seen.discriminate(samples))) - self.target


@REGULARIZERS.register("wgan_gp")
@dataclasses.dataclass(frozen=True)
class WganGP(_TargetNorm):
    r"""Draw the discriminator's gradient norm between real and fake to 1 (Gulrajani et al. 2017, arXiv:1704.00028).

    $$\lambda\ \mathbb{E} \big(\lVert\nabla_{\hat x} D(\hat x)\rVert - 1\big)^2, \qquad
      \hat x = \epsilon x + (1 - \epsilon) G(z), \quad \epsilon \sim U[0, 1]$$

    No 1/2, as in the paper. The norm's derivative at 0 is 0 here; where public code takes the root of the sum of
    squares it is NaN. Scores are high on real samples as in the paper; code whose critic is low on them (GAN_stability)
    has the same penalty, which sees the norm alone. On the Dirac-GAN it does not converge (arXiv:1801.04406). It draws
    "wgan_gp.mix" (B,).
    """

    one_sided: bool = setting(False, "charge only norms above the target")

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        return {"wgan_gp.mix": uniform((len(batch["real"]),), batch["real"], generator)}

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        if is_zero(weight := self.value("weight", seen.batch)):
            return {}
        distance = self.distance(seen, interpolates(seen, self.drawn("wgan_gp.mix", seen.batch, seen.real), self))
        distance = torch.relu(distance) if self.one_sided else distance
        return {"discriminator": weight * distance.square().mean()}


@REGULARIZERS.register("dragan")
@dataclasses.dataclass(frozen=True)
class Dragan(_TargetNorm):
    r"""Draw the discriminator's gradient norm around the real data to 1 (DRAGAN, Kodali et al. 2017, arXiv:1705.07215).

    $$\lambda\ \mathbb{E} \big(\lVert\nabla_{\hat x} D(\hat x)\rVert - 1\big)^2, \qquad
      \hat x = x + c\,\mathrm{std}(x)\,\delta$$

    Paper and code differ. The paper has $\hat x = x + \delta$ with $\delta \sim N(0, cI)$ of a fixed variance. The
    authors' code has $\delta = \alpha u$ with $\alpha \sim U[0, 1]$ for a sample and $u \sim U[0, 1]$ for each of its
    coordinates, never negative, scaled by half the standard deviation of all numbers of the batch; its results were
    published, so it is the default. `noise="normal"` is $\delta \sim N(0, I)$, scaled alike. No 1/2, as in both. It
    draws "dragan.noise", like the real samples (B, ...).
    """

    scale: float = setting(0.5, "size c of the perturbation, in standard deviations of the batch")
    noise: Noise = setting("uniform", "law of the perturbation: uniform as the authors' code, normal as the paper")

    def __post_init__(self) -> None:
        super().__post_init__()
        self.require_weight("scale")
        if self.noise not in get_args(Noise):
            raise GantoolsError(f"Unknown noise {self.noise!r}: pass 'uniform' or 'normal'.")

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        real = batch["real"]
        if self.noise == "normal":
            return {"dragan.noise": normal(tuple(real.shape), real, generator)}
        reach = uniform((len(real), *[1] * (real.dim() - 1)), real, generator)
        return {"dragan.noise": reach * uniform(tuple(real.shape), real, generator)}

    def __call__(self, seen: Pass) -> dict[str, Tensor]:
        if is_zero(weight := self.value("weight", seen.batch)):
            return {}
        # The deviation of this batch, that of one sample included; real data has no derivative by any parameter.
        size = self.scale * seen.real.detach().std(correction=0)
        around = seen.real + size * self.drawn("dragan.noise", seen.batch, seen.real)
        return {"discriminator": weight * self.distance(seen, around).square().mean()}
