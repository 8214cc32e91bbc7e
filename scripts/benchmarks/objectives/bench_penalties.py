"""Cost of a GAN's field with R1 and R2 penalties, against the field without: by double backward and by a JVP.

R1 + R2 asks for the gradient of sum |v|^2 with v the discriminator's gradient by its input. That is twice the gradient
of the derivative of the scores along v held fixed: a forward pass by dual numbers, differentiated backwards. All forms
compute the same field, which is checked first. They are timed in turn, round after round, in seconds of this
process; each ratio is the median over rounds of ratios to the bare field. "one batch": real and generated samples
go through the discriminator together, which must then treat each sample by itself.

    python scripts/benchmarks/objectives/bench_penalties.py [--rounds 15] [--json FILE]
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn.functional import leaky_relu, softplus

import gantools as gt
from gantools.games.functional import load_forward_rules

sys.path.insert(0, str(Path(__file__).parents[1]))
from bench_step import problem  # noqa: E402

PROBLEMS = ("ring8 mlp", "digits dcgan", "residual, grouped")
Field = Callable[[], Sequence[Tensor]]


class Block(nn.Module):
    """A residual block without norms as R3GAN's (arXiv:2501.05441): 1x1, grouped 3x3, 1x1; then half the size."""

    def __init__(self, channels: int, groups: int):
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(channels, 2 * channels, 1), nn.Conv2d(2 * channels, channels, 1, bias=False)
        self.grouped = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner = leaky_relu(self.grouped(leaky_relu(self.wide(x), 0.2)), 0.2)
        return nn.functional.avg_pool2d(x + self.narrow(inner), 2)


def residual() -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """Return a small residual GAN of 32 x 32 images, and a batch of 16."""
    torch.manual_seed(0)
    critic = nn.Sequential(
        nn.Conv2d(3, 32, 1), *(Block(32, 4) for _ in range(3)), nn.Flatten(), nn.Linear(512, 1), nn.Flatten(0)
    )
    layers = [nn.Linear(32, 64 * 16), nn.Unflatten(1, (64, 4, 4))]
    for channels in (64, 32, 32):
        layers += [nn.ConvTranspose2d(channels, 32, 4, 2, 1), nn.LeakyReLU(0.2)]
    generator = nn.Sequential(*layers, nn.Conv2d(32, 3, 1), nn.Tanh())
    return generator, critic, {"real": torch.randn(16, 3, 32, 32), "latent": torch.randn(16, 32)}


class Forms:
    """The fields of a nonsaturating GAN with R1 and R2 of gamma 1, in plain PyTorch, and in gantools."""

    def __init__(self, name: str):
        self.generator, self.critic, self.batch = residual() if name == "residual, grouped" else problem(name)
        self.of_generator = list(self.generator.parameters())
        self.of_critic = list(self.critic.parameters())
        self.size = len(self.batch["real"])
        load_forward_rules()

    def all(self) -> dict[str, Field]:
        """Return the forms by name, the bare field first."""
        penalties = [gt.regularizers.R1(gamma=1.0), gt.regularizers.R2(gamma=1.0)]
        bare, penalised = (self.gantools(regularizers) for regularizers in ((), penalties))
        return {
            "bare": bare,
            "gantools": penalised,
            "double backward": self.double_backward,
            "double backward, one batch": self.double_backward_of_one_batch,
            "JVP, one batch": self.jvp_of_one_batch,
        }

    def gantools(self, regularizers: Sequence[object]) -> Field:
        """Return the field of the game with these regularizers."""
        game = gt.gan(self.generator, self.critic, regularizers=regularizers)
        w, buffers = game.vector(), game.buffers()
        return lambda: [game.field_at(w, buffers, self.batch).vector]

    def double_backward(self) -> Sequence[Tensor]:
        """Return the field, the penalty's gradient by double backward on real and generated samples by themselves."""
        fake, real = self.generator(self.batch["latent"]), self.batch["real"].detach().requires_grad_()
        real_scores, fake_scores = self.critic(real), self.critic(fake)
        penalty = sum(
            torch.autograd.grad(scores.sum(), x, create_graph=True)[0].square().sum()
            for scores, x in ((real_scores, real), (fake_scores, fake))
        )
        return self._gradients(real_scores, fake_scores, 0.5 * penalty / self.size)

    def double_backward_of_one_batch(self) -> Sequence[Tensor]:
        """Return the same, real and generated samples in one batch."""
        samples, scores = self._one_batch()
        (v,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
        return self._gradients(scores[: self.size], scores[self.size :], 0.5 * v.square().sum() / self.size)

    def jvp_of_one_batch(self) -> Sequence[Tensor]:
        """Return the same, the penalty's gradient as that of a JVP along the input gradient."""
        samples, scores = self._one_batch()
        (v,) = torch.autograd.grad(scores.sum(), samples, retain_graph=True)
        of_generator = torch.autograd.grad(softplus(-scores[self.size :]).mean(), self.of_generator)
        with forward_ad.dual_level():
            dual = self.critic(forward_ad.make_dual(samples.detach(), v / self.size))
            scores, along = forward_ad.unpack_dual(dual)
            loss = softplus(-scores[: self.size]).mean() + softplus(scores[self.size :]).mean() + along.sum()
        return [*of_generator, *torch.autograd.grad(loss, self.of_critic)]

    def _one_batch(self) -> tuple[Tensor, Tensor]:
        samples = torch.cat([self.batch["real"], self.generator(self.batch["latent"])])
        return samples, self.critic(samples)

    def _gradients(self, real_scores: Tensor, fake_scores: Tensor, penalty: Tensor) -> Sequence[Tensor]:
        of_generator = torch.autograd.grad(softplus(-fake_scores).mean(), self.of_generator, retain_graph=True)
        loss = softplus(-real_scores).mean() + softplus(fake_scores).mean() + penalty
        return [*of_generator, *torch.autograd.grad(loss, self.of_critic)]


def measure(name: str, rounds: int) -> dict[str, float]:
    """Return the cost of each form relative to the bare field, and how far their fields are apart."""
    forms = Forms(name).all()
    vectors = {label: torch.cat([t.flatten() for t in field()]) for label, field in forms.items()}
    reference = vectors["double backward"]
    apart = max(float((v - reference).norm() / reference.norm()) for label, v in vectors.items() if label != "bare")
    assert apart < 1e-4, f"the forms differ by {apart:.2g} on {name}"
    seconds: dict[str, list[float]] = {label: [] for label in forms}
    for _ in range(rounds):
        for label, field in forms.items():
            found = []
            for _ in range(4):
                start = time.process_time()
                field()
                found.append(time.process_time() - start)
            seconds[label].append(min(found))
    bare = seconds.pop("bare")
    ratios = {k: statistics.median(a / b for a, b in zip(times, bare, strict=True)) for k, times in seconds.items()}
    return {**ratios, "largest difference of the fields": apart}


def main() -> None:
    """Measure all problems and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: measure(name, args.rounds) for name in PROBLEMS}
    labels = list(next(iter(results.values())))
    print("| | " + " | ".join(results) + " |\n|---|" + "--:|" * len(results))
    for label in labels:
        numbers = (f"{results[name][label]:.3g}" for name in results)
        print(f"| {label} | " + " | ".join(numbers) + " |")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
