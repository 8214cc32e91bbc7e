"""Causes of trouble, one module each, by the kind of their evidence.

They are looked for stage by stage: what makes symptoms of all kinds comes first, and where something certain is found
the later stages, which judge by symptoms, are left out.
"""

from collections.abc import Callable, Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.causes.balance.discriminator_too_strong import discriminator_too_strong
from gantools.analysis.diagnosis.causes.balance.penalty_scale import penalty_scale
from gantools.analysis.diagnosis.causes.balance.saturating_loss import saturating_loss
from gantools.analysis.diagnosis.causes.balance.updates_too_often import updates_too_often
from gantools.analysis.diagnosis.causes.numbers.low_precision import low_precision
from gantools.analysis.diagnosis.causes.numbers.penalty_not_finite import penalty_not_finite
from gantools.analysis.diagnosis.causes.numbers.poisonous_batch import poisonous_batch
from gantools.analysis.diagnosis.causes.numbers.unnormalised_data import unnormalised_data
from gantools.analysis.diagnosis.causes.numbers.unshuffled_batches import unshuffled_batches
from gantools.analysis.diagnosis.causes.players.collapse import collapse
from gantools.analysis.diagnosis.causes.players.dead_units import dead_units
from gantools.analysis.diagnosis.causes.players.frozen_layer import frozen_layer
from gantools.analysis.diagnosis.causes.players.missing_gradient import missing_gradient
from gantools.analysis.diagnosis.causes.players.wrong_sign import wrong_sign
from gantools.analysis.diagnosis.causes.steps.momentum_too_high import momentum_too_high
from gantools.analysis.diagnosis.causes.steps.rate_imbalance import rate_imbalance
from gantools.analysis.diagnosis.causes.steps.rate_too_large import rate_too_large
from gantools.analysis.diagnosis.causes.steps.rate_too_small import rate_too_small
from gantools.analysis.diagnosis.causes.steps.rotation import rotation
from gantools.analysis.diagnosis.result import Finding

Cause = Callable[[Case], Iterator[Finding]]

STAGES: tuple[tuple[Cause, ...], ...] = (
    (poisonous_batch, unshuffled_batches, low_precision, penalty_not_finite, wrong_sign),
    (dead_units, frozen_layer, unnormalised_data, saturating_loss, penalty_scale, collapse, missing_gradient),
    (
        updates_too_often,
        momentum_too_high,
        rate_imbalance,
        rate_too_large,
        rate_too_small,
        rotation,
        discriminator_too_strong,
    ),
)
