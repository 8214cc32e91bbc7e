r"""GAN objectives as functions of the discriminator's outputs, by name in `LOSSES`.

Every objective takes the raw scores of a real batch `r = D(x)` and of a fake batch `f = D(G(z))`, of any shape, and
returns `(generator_loss, discriminator_loss)`: scalars, means over all scores, *both minimised*. A score is a logit
without a final sigmoid, high where the discriminator believes that the sample is real. Utilities that papers maximise
appear with the opposite sign. `softplus(t) = log(1 + e^t) = -log sigmoid(-t)` is PyTorch's, which does not overflow.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gantools.argument_kinds import public
from gantools.errors import GantoolsError
from gantools.registry import Registry

Loss = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

LOSSES: Registry[Loss] = Registry("loss")


@LOSSES.register("minimax")
def minimax(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Saturating loss of the original game, exactly zero-sum (Goodfellow et al., arXiv:1406.2661, eq. 1).

    $$L_D = E[\mathrm{softplus}(-r)] + E[\mathrm{softplus}(f)], \qquad L_G = -L_D.$$

    `L_G` keeps the term in `r`, which has no gradient for the generator, so that the two losses add up to zero.
    """
    discriminator = softplus(-real_scores).mean() + softplus(fake_scores).mean()
    return -discriminator, discriminator


@LOSSES.register("nonsaturating")
def nonsaturating(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Logistic loss whose generator gradient survives a confident discriminator (arXiv:1406.2661, section 3).

    $$L_D = E[\mathrm{softplus}(-r)] + E[\mathrm{softplus}(f)], \qquad L_G = E[\mathrm{softplus}(-f)].$$

    >>> gt.losses.nonsaturating(torch.zeros(4), torch.zeros(4))  # log 2, and twice that
    (tensor(0.6931), tensor(1.3863))
    """
    return softplus(-fake_scores).mean(), softplus(-real_scores).mean() + softplus(fake_scores).mean()


@LOSSES.register("wasserstein")
def wasserstein(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Critic's difference of means, zero-sum; needs a Lipschitz critic (Arjovsky et al., arXiv:1701.07875, eq. 2).

    $$L_D = E[f] - E[r], \qquad L_G = -L_D = E[r] - E[f].$$

    The critic is high on real samples. `L_G` is the estimate of the distance up to the critic's Lipschitz constant; its
    gradient is that of the customary $-E[f]$.
    """
    distance = real_scores.mean() - fake_scores.mean()
    return distance, -distance


@LOSSES.register("hinge")
def hinge(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Hinge loss with margins at +1 and -1 (Lim and Ye, arXiv:1705.02894; Miyato et al., arXiv:1802.05957, eq. 16-17).

    $$L_D = E[\max(0, 1 - r)] + E[\max(0, 1 + f)], \qquad L_G = -E[f].$$

    Its second derivative in the scores is zero almost everywhere.
    """
    return -fake_scores.mean(), torch.relu(1 - real_scores).mean() + torch.relu(1 + fake_scores).mean()


@LOSSES.register("least_squares")
def least_squares(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Regression of the scores to 1 on real and 0 on fake samples (Mao et al., arXiv:1611.04076, eq. 9).

    $$L_D = \tfrac12 E[(r - 1)^2] + \tfrac12 E[f^2], \qquad L_G = \tfrac12 E[(f - 1)^2].$$
    """
    discriminator = (real_scores - 1).square().mean() / 2 + fake_scores.square().mean() / 2
    return (fake_scores - 1).square().mean() / 2, discriminator


@LOSSES.register("relativistic")
def relativistic(real_scores: Tensor, fake_scores: Tensor) -> tuple[Tensor, Tensor]:
    r"""Relativistic pairing: both players see the score of a real sample minus that of its fake partner (R3GAN).

    $$L_D = E[\mathrm{softplus}(-(r_i - f_i))], \qquad L_G = E[\mathrm{softplus}(-(f_i - r_i))].$$

    Jolicoeur-Martineau, arXiv:1807.00734; Huang et al., arXiv:2501.05441, eq. 2, which needs R1 *and* R2 to converge.
    Sample i is paired with sample i, so both batches have one shape, else `GantoolsError`.
    """
    if real_scores.shape != fake_scores.shape:
        raise GantoolsError(
            f"The relativistic loss pairs real with fake samples, but their scores have shapes "
            f"{tuple(real_scores.shape)} and {tuple(fake_scores.shape)}: draw as many latents as real samples."
        )
    difference = real_scores - fake_scores
    return softplus(difference).mean(), softplus(-difference).mean()


public(globals(), LOSSES)
