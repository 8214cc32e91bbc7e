"""The zoo of sick games: entries name what exists, measures measure, an advice is applied as typed, tables count."""

import dataclasses
import math
import shlex
from types import SimpleNamespace

import pytest
import sick_games
import torch
from zoo import measures, prescription, tables, training
from zoo.entry import Cure

from gantools.analysis.diagnosis.causes import STAGES
from gantools.cli.flags import parse_train
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.runs.user_file import load_target
from tests.quick import few

CAUSES = {cause.__name__ for stage in STAGES for cause in stage}
ENTRIES = list(sick_games.ENTRIES.values())
SLOW = ("strong_discriminator", "saturating")  # whose functions train a discriminator alone before
FUNCTIONS = [
    pytest.param(entry, function, id=f"{entry.name}-{function}", marks=[pytest.mark.slow] if entry.name in SLOW else [])
    for entry in ENTRIES
    for function in sorted({None, entry.cure and entry.cure.function, *entry.changes.values()}, key=str)
]


def test_two_sets_of_sick_games_and_of_healthy_ones_were_written_afterwards_and_all_names_differ():
    assert {kind: len(entries) for kind, entries in sick_games.KINDS.items()} == {
        "threads": 10, "classical": 12, "written afterwards": 11, "second set, written afterwards": 6,
        "healthy": 10, "healthy, written afterwards": 6, "healthy, second set": 4,
    }  # fmt: skip
    assert len(sick_games.ENTRIES) == 59
    for kind, entries in sick_games.KINDS.items():
        second = "second set" in kind
        assert all(e.second == second and e.after == (second or "afterwards" in kind) for e in entries)


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_flags_are_ones_that_the_program_has_and_causes_ones_of_a_diagnosis(entry):
    for flags in (entry.flags, entry.cure.flags if entry.cure else None):
        if flags is not None:
            assert parse_train([entry.path(), *shlex.split(flags), *training.QUIET]).config.steps >= 500
    # Who had not seen the rules may expect what no rule names: that is a miss.
    assert (entry.after or set(entry.causes) <= CAUSES) and set(entry.changes) <= set(entry.causes)
    healthy = [e for kind, entries in sick_games.KINDS.items() if "healthy" in kind for e in entries]
    assert (entry.cure is None) == (entry in healthy)


@pytest.mark.parametrize(("entry", "function"), few(FUNCTIONS, 8))
def test_every_game_is_drawn_from_the_seed_and_its_measure_gives_a_number(entry, function):
    drawn = []
    with random_state_kept():
        for seed in (0, 0, 1):
            seed_global_generators(seed)
            game, batches = load_target(entry.path(function))
            drawn.append(game.vector())
        assert entry.measure(game, batches) >= 0
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_the_energy_distance_is_that_of_two_points_and_no_finite_number_of_a_net_that_blew_up():
    """Data at -1 and 1 with all samples at 1: a distance as large as the spread of the data."""
    real = torch.tensor([[-1.0], [1.0]])
    generator = torch.nn.Linear(1, 1)
    game = SimpleNamespace(players={"generator": generator}, vector=lambda: generator.weight.flatten())
    batches = [{"real": real, "latent": torch.zeros(2, 1)}]
    torch.nn.init.zeros_(generator.weight)
    torch.nn.init.ones_(generator.bias)
    # E|x - y| = 1, E|x - x'| = 1, E|y - y'| = 0, in any unit.
    assert measures.distance()(game, batches) == pytest.approx(1.0)
    torch.nn.init.constant_(generator.weight, math.nan)
    assert measures.distance()(game, batches) == math.inf


def test_the_energy_distance_of_pairs_sees_a_sample_that_does_not_fit_its_condition():
    """Samples with the law of the data, -1 or 1 as often, are at distance 0 only beside the right conditions."""
    given = torch.tensor([[-1.0], [1.0]]).repeat(200, 1)
    batches = [{"real": given.clone(), "label": given, "latent": torch.zeros(400, 1)}]
    right, wrong = (
        SimpleNamespace(players={"generator": lambda latent, label, sign=sign: sign * label}, vector=lambda: given)
        for sign in (1, -1)
    )
    assert measures.pairs(0.1)(right, batches) == pytest.approx(0, abs=1e-6)
    # Four corners of a square of side 2: E|x - y| = 2, E|x - x'| = E|y - y'| = sqrt(2).
    assert measures.pairs(0.1)(wrong, batches) == pytest.approx((4 - 2 * math.sqrt(2)) / math.sqrt(2), abs=1e-5)


def test_nobody_gains_by_a_best_answer_to_even_play_of_rock_paper_scissors_and_two_by_one_to_a_sure_move():
    payoff = torch.tensor([[[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]]])

    def game(logits):
        player = SimpleNamespace(value=torch.tensor([logits]))
        return SimpleNamespace(players={"row": player, "column": player}, vector=lambda: payoff)

    assert measures.gain(0.1)(game([0.0, 0.0, 0.0]), {"payoff": payoff}) == pytest.approx(0, abs=1e-6)
    assert measures.gain(0.1)(game([50.0, 0.0, 0.0]), {"payoff": payoff}) == pytest.approx(2, abs=1e-6)


def test_a_budget_is_missed_by_too_few_alarms_as_by_too_many():
    batches = [{"x": torch.zeros(4, 1), "alarm": torch.tensor([True, False, False, True])}]
    for bias, missed in ((math.log(1 / 3), 0.2), (-50.0, 0.05)):
        game = SimpleNamespace(players={"model": lambda x, bias=bias: x + bias}, vector=lambda: torch.zeros(1))
        assert measures.budget_missed(0.05, 0.02)(game, batches) == pytest.approx(missed, abs=1e-6)


def test_rows_from_all_of_the_data_are_compared_where_asked_and_effects_with_those_known():
    """Data at -1 first and at 1 afterwards, and as many samples of both: at distance 0 from all rows alone."""
    batches = [{"real": torch.full((measures.SAMPLES, 1), x), "latent": torch.zeros(2, 1)} for x in (-1.0, 1.0)]
    net = torch.nn.Linear(1, 1, bias=False)
    game = SimpleNamespace(players={"generator": _Sign(), "model": net}, vector=lambda: net.weight.flatten())
    assert measures.distance(spread=True)(game, batches) == pytest.approx(0, abs=0.01)
    batches[0]["real"][0] = -1.1  # a spread of the first rows, which are else one point
    assert measures.distance()(game, batches) > 1
    torch.nn.init.constant_(net.weight, 3.0)
    assert measures.effects((1.0,), 0.2)(game, batches) == pytest.approx(2.0)


class _Sign(torch.nn.Module):
    def forward(self, latent):
        return latent.sign()


def test_an_advice_replaces_what_it_names_and_what_belonged_to_it():
    own = shlex.split("--optimizer alternating --optimizer.n-d 5 --optimizer.lr 1e-3 --optimizer.base sgd --steps 9")
    advice = ("--optimizer", "consensus", "--optimizer.gamma", "2")
    assert prescription.with_advice(own, advice) == shlex.split(
        "--optimizer consensus --optimizer.lr 1e-3 --optimizer.base sgd --steps 9 --optimizer.gamma 2"
    )
    assert prescription.with_advice(["--optimizer.lr", "1"], ("--optimizer.lr=0.5",)) == ["--optimizer.lr", "0.5"]
    own = shlex.split("--optimizer.base adam --optimizer.base.betas 0.9 0.99 --optimizer.lr 1")
    assert prescription.with_advice(own, ("--optimizer.base", "sgd")) == shlex.split(
        "--optimizer.base sgd --optimizer.lr 1"
    )


def _stand_in(*findings):
    """Return a diagnosis that finds these causes, each with one advice."""
    made = tuple(
        SimpleNamespace(cause=cause, evidence="", advice=(SimpleNamespace(flags=tuple(flags.split()), line="change"),))
        for cause, flags in findings
    )
    return lambda game, batches, optimizer: SimpleNamespace(findings=made)


def _short(name, steps):
    entry = sick_games.ENTRIES[name]
    return dataclasses.replace(entry, flags=entry.flags.replace("--steps 1000", f"--steps {steps}"))


@pytest.mark.slow
def test_an_outcome_says_whether_the_right_cause_was_named_and_whether_its_advice_cured():
    entry = _short("dirac", 150)
    cure = ("rotation", "--optimizer consensus --optimizer.gamma 1")
    good = prescription.outcome(entry, 0, _stand_in(cure))
    assert good["sick"] and good["named"] and good["cured"] and good["value after"] < 0.2 < good["value"]
    other = prescription.outcome(entry, 0, _stand_in(("collapse", ""), cure))
    assert not other["named"] and other["named among"] and not other["cured"] and other["advice"] == "change"
    wrong = prescription.outcome(entry, 0, _stand_in(("rotation", "--optimizer.gama 1")))
    assert wrong["named"] and not wrong["cured"] and "cannot be typed" in wrong["error after"]
    nothing = prescription.outcome(entry, 0, _stand_in())
    assert not nothing["named"] and not nothing["cured"]


@pytest.mark.slow
def test_an_advice_without_flags_trains_the_changed_game_of_its_cause_alone():
    entry = dataclasses.replace(sick_games.ENTRIES["root_penalty"], measure=measures.distance(math.inf))
    entry = dataclasses.replace(entry, flags=entry.flags.replace("--steps 1500", "--steps 3"))
    result = prescription.outcome(entry, 0, _stand_in(("penalty_not_finite", "")))
    assert "step 0" in result["error"] and result["cured"]
    assert not prescription.outcome(entry, 0, _stand_in(("rotation", "")))["cured"]


@pytest.mark.slow
def test_a_known_cure_is_verified_against_the_measure():
    entry = _short("dirac", 150)
    cured = dataclasses.replace(entry, cure=Cure(entry.flags.replace("simultaneous", "consensus")))
    found = prescription.verified(cured, 1)
    assert found.sick and found.cured and found.value > 0.2 > found.after


def test_the_table_counts_entries_and_prints_every_miss():
    kinds = {"classical": [sick_games.ENTRIES["dirac"]], "healthy": [sick_games.ENTRIES["healthy quadratic"]]}
    good = {"sick": True, "named": True, "named among": True, "cured": True, "found": ["rotation"], "advice": "--a"}
    bad = {**good, "named": False, "cured": False, "found": ["collapse"], "value after": math.inf}
    alarm = {**bad, "sick": False}
    results = {"dirac": {0: good, 1: good, 2: bad}, "healthy quadratic": {0: alarm, 1: {**alarm, "found": []}}}
    text = tables.diagnosis(kinds, results)
    assert "named rightly 1 of 1" in text and "cured by the first advice 1 of 1;" in text
    assert "False alarms: 1 of 2 healthy runs, of 1 of 1 games." in text
    assert "- dirac, seed 2: expected rotation; found collapse; not cured by --a (inf)" in text
    assert "dirac, seed 0" not in text and "afterwards" not in text


def test_games_that_were_written_afterwards_are_counted_apart_and_so_is_their_second_set():
    names = ["dirac", "scissors", "robust", "wages", "healthy quadratic", "healthy spock", "healthy words"]
    kinds = {name: [sick_games.ENTRIES[name]] for name in names}
    good = {"sick": True, "named": True, "named among": True, "cured": True, "found": ["rotation"], "advice": "--a"}
    bad = {**good, "named": False, "named among": False, "cured": False, "value after": 1.0}
    well = {**good, "sick": False, "found": []}
    alarm = {**well, "named": False, "found": ["rotation"]}
    found = [good, bad, good, good, well, alarm, well]
    text = tables.diagnosis(kinds, {name: {0: result} for name, result in zip(names, found, strict=True)})
    assert "Sick games: named rightly 1 of 1, among all findings 1 of 1, cured by the first advice 1 of 1;" in text
    assert "Of the 2 sick games written afterwards: named rightly 1 of 2," in text
    assert "Of the 1 sick games of the second set: named rightly 1 of 1," in text
    assert "False alarms: 0 of 1 healthy runs" in text
    assert "False alarms in those of the second set: 0 of 1 healthy runs" in text
    assert "False alarms in those written afterwards: 1 of 1 healthy runs" in text


def test_a_first_sight_has_intervals_and_counts_what_failed():
    """No success in three has at most 0.708 as its exact interval's upper end: 0.292 ** 3 = 0.025."""
    kinds = {"set": [sick_games.ENTRIES[name] for name in ("scissors", "robust", "budget")]}
    missed = {"sick": True, "named": False, "named among": False, "cured": False, "found": [], "advice": ""}
    results = {"scissors": {0: {"failed": "no memory"}}, "robust": {0: missed}, "budget": {0: missed}}
    text = tables.first_sight(kinds, results, "Once:")
    assert "named rightly 0 of 3 [0.00, 0.71]" in text and "| scissors | rotation | 0/1 | 0/1 | failed (1) |" in text


@pytest.mark.slow
@pytest.mark.slow
def test_a_study_without_a_diagnosis_is_written_as_a_table_and_as_numbers(tmp_path, capsys):
    sick_games.main(["--verify", "--only", "dirac", "--seeds", "0", "--root", str(tmp_path)])
    assert "| dirac | 1/1 | 1/1 |" in capsys.readouterr().out
    assert (tmp_path / "sick_games-verify.json").exists()
