r"""Quality and coverage of samples, from the samples themselves or from features of them; no Inception network.

Every metric takes two sets as tensors (n, ...), flattens each sample, computes in float64 on the CPU and returns Python
numbers. NaN or infinite values, sets of different width and sets that are too small raise `GantoolsError`.
"""

import dataclasses
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from gantools.data.sources import Source
from gantools.errors import GantoolsError
from gantools.metrics.features import DigitFeatures, Thumbnail, train_features

__all__ = [
    "DigitFeatures",
    "ModeCoverage",
    "Thumbnail",
    "density_coverage",
    "evaluate",
    "frechet_distance",
    "kernel_distance",
    "mode_coverage",
    "precision_recall",
    "train_features",
]

_ROWS = 1024  # rows of a distance matrix held at once: 1024 x 10 000 doubles are 80 MB


@dataclasses.dataclass(frozen=True)
class ModeCoverage:
    """Coverage of the modes of a mixture by samples.

    Attributes:
        covered: number of modes with enough samples.
        high_quality: fraction of all samples that lie within the radius of a mode.
        counts: (M,) int64, samples within the radius of each mode.
    """

    covered: int
    high_quality: float
    counts: Tensor


def mode_coverage(samples: Tensor, modes: Tensor, radius: float = 0.1, minimum: int | None = 25) -> ModeCoverage:
    """Count the modes (M, d) that hold at least `minimum` of the samples (n, d) within `radius` of their centre.

    A sample counts for its nearest mode only. The default is 25 of 2560 samples; `minimum=None` scales that to n
    samples, rounded up.
    """
    x, centres = _rows(samples, "samples"), _rows(modes, "modes")
    _same_width(x, centres)
    if minimum is None:
        minimum = max(1, math.ceil(25 * len(x) / 2560))
    distance, nearest = _distances(x, centres).min(1)
    counts = torch.bincount(nearest[distance <= radius], minlength=len(centres))
    return ModeCoverage(int((counts >= minimum).sum()), float(counts.sum() / len(x)), counts)


def frechet_distance(x: Tensor, y: Tensor) -> float:
    r"""Return the squared Fréchet distance of the Gaussians fitted to two sets (Heusel et al., arXiv:1706.08500).

    $$\|\mu_x - \mu_y\|^2 + \mathrm{tr}\big(C_x + C_y - 2 (C_x C_y)^{1/2}\big)$$

    With centred data $X/\sqrt{n-1} = QR$, the trace of the root is the nuclear norm of $R_x R_y^T$. So no square root
    is taken of eigenvalues at rounding level, and fewer samples than features are no special case (but the estimate is
    biased upwards: compare distances at equal sample sizes only). Needs two samples in each set.
    """
    a, b = _rows(x, "the first set", 2), _rows(y, "the second set", 2)
    _same_width(a, b)
    roots = [torch.linalg.qr(s - s.mean(0), mode="r").R / math.sqrt(len(s) - 1) for s in (a, b)]
    cross = torch.linalg.svdvals(roots[0] @ roots[1].T).sum()
    means = (a.mean(0) - b.mean(0)).square().sum()
    return float(means + roots[0].square().sum() + roots[1].square().sum() - 2 * cross)


def kernel_distance(x: Tensor, y: Tensor) -> float:
    r"""Return the unbiased squared maximum mean discrepancy, the KID (Binkowski et al., arXiv:1801.01401).

    $$\frac{1}{n(n-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{m(m-1)} \sum_{i \ne j} k(y_i, y_j)
      - \frac{2}{nm} \sum_{i,j} k(x_i, y_j), \qquad k(u, v) = (u^T v / d + 1)^3$$

    Over all pairs, not the mean over subsets as in the reference code. Negative values are normal near zero: clipping
    them would bias it. Needs two samples in each set.
    """
    a, b = _rows(x, "the first set", 2), _rows(y, "the second set", 2)
    _same_width(a, b)
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _kernel(a.square().sum(1), a).sum()) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _kernel(b.square().sum(1), b).sum()) / (m * (m - 1))
    return float(within_a + within_b - 2 * _kernel_sum(a, b) / (n * m))


def precision_recall(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    r"""Return improved precision and recall (Kynkäänniemi et al., arXiv:1904.06991, eq. 1-2).

    Precision is the fraction of fake samples inside the union of balls around the real samples, each ball reaching to
    its centre's k-th nearest other sample of the same set; recall exchanges the roles. Needs k + 1 samples in each set.
    """
    r, f = _neighbour_sets(real, fake, k)
    radii_r, radii_f = _radii(r, k), _radii(f, k)
    precision = torch.cat([(_distances(rows, r) <= radii_r).any(1) for rows in f.split(_ROWS)])
    recall = torch.cat([(_distances(rows, f) <= radii_f).any(1) for rows in r.split(_ROWS)])
    return float(precision.double().mean()), float(recall.double().mean())


def density_coverage(real: Tensor, fake: Tensor, k: int = 5) -> tuple[float, float]:
    r"""Return density and coverage, which outliers among the samples disturb less (Naeem et al., arXiv:2002.09797).

    Density is the mean number of real balls (see `precision_recall`) that hold a fake sample, over k: 1 is expected for
    equal distributions, and it may exceed 1. Coverage is the fraction of real balls that hold at least one fake sample:
    1 - 2^-k is expected. Needs k + 1 samples in each set.
    """
    r, f = _neighbour_sets(real, fake, k)
    inside = [_distances(rows, f) <= radii[:, None] for rows, radii in _chunks(r, _radii(r, k))]
    density = sum(int(block.sum()) for block in inside) / (k * len(f))
    coverage = torch.cat([block.any(1) for block in inside])
    return density, float(coverage.double().mean())


def evaluate(samples: Tensor, source: Source, features: nn.Module | None = None, seed: int = 0) -> dict[str, float]:
    """Return the metrics that suit a data source for generated samples (n, *source.shape), by name.

    Modes covered and the fraction of high quality where the source has modes; always Fréchet and kernel distance,
    precision, recall, density and coverage against `source.reference(n, seed)`. These compare `features(samples)` where
    features are given (see `gantools.metrics.features`); else the samples themselves, images of more than 8 x 8 pixels
    reduced to 8 x 8 thumbnails.
    """
    samples = samples.detach().cpu().float()
    if tuple(samples.shape[1:]) != source.shape:
        raise GantoolsError(
            f"Samples have shape {tuple(samples.shape[1:])} but {source.name} has {source.shape}: evaluate a generator "
            "on the data that it was trained for."
        )
    result: dict[str, float] = {}
    if source.modes is not None and source.radius is not None:
        modes = mode_coverage(samples, source.modes, source.radius, minimum=None)
        result = {"modes_covered": float(modes.covered), "high_quality": modes.high_quality}
    real, fake = _embed(source.reference(len(samples), seed), features), _embed(samples, features)
    result["frechet_distance"] = frechet_distance(real, fake)
    result["kernel_distance"] = kernel_distance(real, fake)
    result["precision"], result["recall"] = precision_recall(real, fake)
    result["density"], result["coverage"] = density_coverage(real, fake)
    return result


@torch.no_grad()
def _embed(x: Tensor, features: nn.Module | None) -> Tensor:
    module = features if features is not None else Thumbnail()
    if getattr(module, "training", False):
        raise GantoolsError("The feature network is in training mode: call features.eval() first.")
    return torch.cat([module(rows).cpu() for rows in x.split(_ROWS)])


def _rows(x: Tensor, what: str, least: int = 1) -> Tensor:
    if len(x) < least:
        raise GantoolsError(f"Too few samples: {what} has {len(x)} but needs at least {least}.")
    rows = x.detach().cpu().double().flatten(1)
    bad = int((~rows.isfinite()).any(1).sum())
    if bad:
        raise GantoolsError(
            f"{bad} of {len(rows)} samples in {what} hold NaN or infinite values: training has diverged, or a file is "
            "damaged."
        )
    return rows


def _same_width(a: Tensor, b: Tensor) -> None:
    if a.shape[1] != b.shape[1]:
        raise GantoolsError(f"Cannot compare samples of {a.shape[1]} with samples of {b.shape[1]} numbers each.")


def _neighbour_sets(real: Tensor, fake: Tensor, k: int) -> tuple[Tensor, Tensor]:
    if k < 1:
        raise GantoolsError(f"The number of neighbours k must be at least 1, not {k}.")
    r, f = _rows(real, "the real set", k + 1), _rows(fake, "the fake set", k + 1)
    _same_width(r, f)
    return r, f


def _distances(a: Tensor, b: Tensor) -> Tensor:
    # cdist's default, |a|^2 + |b|^2 - 2ab, loses distances below 1e-8 of the samples' own size: those inside a
    # collapsed mode far from the origin.
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def _radii(x: Tensor, k: int) -> Tensor:
    # The k + 1 nearest, as every sample is its own nearest neighbour.
    return torch.cat([_distances(rows, x).kthvalue(k + 1, dim=1).values for rows in x.split(_ROWS)])


def _chunks(x: Tensor, values: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(x.split(_ROWS), values.split(_ROWS), strict=True)


def _kernel(products: Tensor, x: Tensor) -> Tensor:
    return (products / x.shape[1] + 1) ** 3


def _kernel_sum(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([_kernel(rows @ b.T, a).sum() for rows in a.split(_ROWS)]).sum()
