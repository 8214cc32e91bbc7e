"""Entries of the twelve diseases of the textbooks; their games are in games/classical.py."""

from functools import partial

from zoo import measures
from zoo.entry import MOMENTUM, PENALTY, RMSPROP, SGD, Cure, adam, entry

_entry = partial(entry, "classical")
_consensus = RMSPROP.format("consensus --optimizer.gamma 10", "1e-3", 3000)
ENTRIES = [
    _entry("dirac", SGD.format("simultaneous", 0.1, 1000), measures.from_origin(0.2), "rotation",
           Cure(SGD.format("consensus --optimizer.gamma 1", 0.1, 1000))),
    _entry("dirac_wasserstein", SGD.format("alternating", 0.1, 1000), measures.from_origin(0.2), "rotation",
           Cure(SGD.format("extragradient", 0.1, 1000))),
    _entry("ring8", SGD.format("simultaneous", 0.1, 3000), measures.missing_modes(8, 0.2), "rotation collapse",
           Cure(_consensus)),
    _entry("shifted_gaussian", SGD.format("simultaneous", 5.0, 1000), measures.distance(0.1), "rate_too_large",
           Cure(SGD.format("simultaneous", 0.1, 1000))),
    _entry("strong_discriminator", SGD.format("simultaneous", 0.05, 1000), measures.distance(0.2),
           "discriminator_too_strong", Cure(adam("2e-3", 1000) + PENALTY, "strong_discriminator_fresh"),
           discriminator_too_strong="strong_discriminator_fresh"),
    _entry("saturating", SGD.format("simultaneous", 0.05, 1000), measures.distance(0.2),
           "saturating_loss discriminator_too_strong",
           Cure(SGD.format("simultaneous", 0.05, 1000) + " --loss nonsaturating" + PENALTY)),
    _entry("dead_relus", adam("2e-3"), measures.distance(0.1), "dead_units collapse",
           Cure(function="dead_relus_alive"), dead_units="dead_relus_alive", collapse="dead_relus_alive"),
    _entry("collapsed", adam("2e-3"), measures.distance(0.1), "collapse", Cure(function="collapsed_mended"),
           collapse="collapsed_mended"),
    _entry("heavy_ball", MOMENTUM.format("simultaneous", 0.2, 1000), measures.from_origin(0.3), "momentum_too_high",
           Cure(SGD.format("simultaneous", 0.2, 1000))),
    _entry("two_rates", adam("generator=5e-2,discriminator=1e-5"), measures.distance(0.05), "rate_imbalance",
           Cure(adam("2e-3"))),
    _entry("root_penalty", adam("2e-3"), measures.distance(0.1), "penalty_not_finite",
           Cure(function="root_penalty_mended"), penalty_not_finite="root_penalty_mended"),
    _entry("wrong_sign", adam("1e-3", 1000), measures.distance(0.1), "wrong_sign", Cure(function="right_sign"),
           wrong_sign="right_sign"),
]  # fmt: skip
