"""Causes of trouble, one module each, by the kind of their evidence; they register in `CAUSES` of `diagnosis.case`.

They are looked for stage by stage: what makes symptoms of all kinds comes first, and where something certain is found
the later stages, which judge by symptoms, are left out.
"""

from gantools.analysis.diagnosis.causes.balance import (
    discriminator_too_strong,
    penalty_scale,
    saturating_loss,
    updates_too_often,
)
from gantools.analysis.diagnosis.causes.numbers import (
    low_precision,
    penalty_not_finite,
    poisonous_batch,
    unnormalised_data,
)
from gantools.analysis.diagnosis.causes.players import collapse, dead_units, frozen_layer, wrong_sign
from gantools.analysis.diagnosis.causes.steps import momentum_too_high, rate_imbalance, rate_too_large, rotation

STAGES = (
    (poisonous_batch, low_precision, penalty_not_finite, wrong_sign),
    (dead_units, frozen_layer, unnormalised_data, saturating_loss, penalty_scale, collapse),
    (updates_too_often, momentum_too_high, rate_imbalance, rate_too_large, rotation, discriminator_too_strong),
)
