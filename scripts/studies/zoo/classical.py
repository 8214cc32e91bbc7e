"""Entries of the twelve diseases of the textbooks; their games are in games/classical.py."""

from zoo import measures
from zoo.entry import Cure, Entry

ADAM = "--optimizer alternating --optimizer.base adam --optimizer.base.betas 0 0.99 --optimizer.lr 2e-3 --steps 1500"


def _entry(name: str, flags: str, measure: measures.Measure, causes: str, cure: Cure, **changes: str) -> Entry:
    return Entry(name, f"classical.py:{name}", flags, measure, tuple(causes.split()), cure, changes)


HEAVY = "--optimizer simultaneous --optimizer.base momentum --optimizer.base.beta 0.9 --optimizer.lr 0.2 --steps 1000"
CONSENSUS = "--optimizer consensus --optimizer.gamma 10 --optimizer.base rmsprop --optimizer.lr 1e-3 --steps 3000"
PENALTY = " --regularizer r1 --regularizer.gamma 1"
SGD = "--optimizer {} --optimizer.base sgd --optimizer.lr {} --steps {}"
MANY = "--optimizer alternating --optimizer.base adam --optimizer.base.betas 0 0.99 --optimizer.lr {} --steps {}"
ENTRIES = [
    _entry("dirac", SGD.format("simultaneous", 0.1, 1000), measures.from_origin(0.2), "rotation",
           Cure(SGD.format("consensus --optimizer.gamma 1", 0.1, 1000))),
    _entry("dirac_wasserstein", SGD.format("alternating", 0.1, 1000), measures.from_origin(0.2), "rotation",
           Cure(SGD.format("extragradient", 0.1, 1000))),
    _entry("ring8", "--optimizer simultaneous --optimizer.base sgd --optimizer.lr 0.1 --steps 3000",
           measures.missing_modes(8, 0.2), "rotation collapse",
           Cure(CONSENSUS)),
    _entry("shifted_gaussian", SGD.format("simultaneous", 5.0, 1000), measures.distance(0.1), "rate_too_large",
           Cure(SGD.format("simultaneous", 0.1, 1000))),
    _entry("strong_discriminator", SGD.format("simultaneous", 0.05, 1000), measures.distance(0.2),
           "discriminator_too_strong", Cure(MANY.format("2e-3", 1000) + " --regularizer r1 --regularizer.gamma 1")),
    _entry("saturating", SGD.format("simultaneous", 0.05, 1000), measures.distance(0.2),
           "saturating_loss discriminator_too_strong",
           Cure(SGD.format("simultaneous", 0.05, 1000) + " --loss nonsaturating" + PENALTY)),
    _entry("dead_relus", ADAM, measures.distance(0.1), "dead_units collapse", Cure(function="dead_relus_alive"),
           dead_units="dead_relus_alive", collapse="dead_relus_alive"),
    _entry("collapsed", ADAM, measures.distance(0.1), "collapse", Cure(function="collapsed_mended"),
           collapse="collapsed_mended"),
    _entry("heavy_ball", HEAVY,
           measures.from_origin(0.3), "momentum_too_high", Cure(SGD.format("simultaneous", 0.2, 1000))),
    _entry("two_rates", MANY.format("generator=5e-2,discriminator=1e-5", 1500), measures.distance(0.05),
           "rate_imbalance", Cure(MANY.format("2e-3", 1500))),
    _entry("root_penalty", MANY.format("2e-3", 1500), measures.distance(0.5), "penalty_not_finite",
           Cure(function="root_penalty_mended"), penalty_not_finite="root_penalty_mended"),
    _entry("wrong_sign", MANY.format("1e-3", 1000), measures.distance(0.1), "wrong_sign",
           Cure(function="right_sign"), wrong_sign="right_sign"),
]  # fmt: skip
