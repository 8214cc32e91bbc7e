"""Sequence tasks: what is shown and asked, and the baselines, against answers found by hand."""

import math

import pytest
import torch
from torch import nn

from gantools.data.sequences import SEQUENCE_TASKS, Adding, AssociativeRecall, Copying, Denoising, EpisodicCopy
from gantools.errors import GantoolsError
from gantools.nn.recurrent import URNN, SequenceModel
from tests.draws import seeded


@pytest.mark.parametrize("name", SEQUENCE_TASKS)
def test_batches_have_the_shapes_they_say_and_depend_on_the_generator_alone(name):
    task, before = SEQUENCE_TASKS[name](), torch.get_rng_state()
    batch = task.batch(7, seeded(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert batch["input"].shape == (7, task.steps, task.input_size)
    assert batch["input"].dtype == torch.get_default_dtype()
    again, other = task.batch(7, seeded(3)), task.batch(7, seeded(4))
    for key, value in batch.items():
        assert torch.equal(value, again[key])
        assert not torch.equal(value, other[key])
    outputs = torch.zeros(7, task.steps, task.output_size)
    assert task.loss(outputs, batch).shape == ()
    assert SEQUENCE_TASKS.describe(name).endswith(".") or "(" in SEQUENCE_TASKS.describe(name)


def symbols(batch):
    return batch["input"].argmax(-1)


def test_copying_shows_ten_symbols_and_asks_for_them_after_the_delay():
    task = Copying(delay=4)
    shown, target = symbols(batch := task.batch(50, seeded())), batch["target"]
    assert (batch["input"].sum(-1) == 1).all()
    assert ((shown[:, :10] >= 0) & (shown[:, :10] < 8)).all()
    assert (shown[:, 10:13] == 8).all()
    assert (shown[:, 13] == 9).all()
    assert (shown[:, 14:] == 8).all()
    assert (target[:, :14] == 8).all()
    assert torch.equal(target[:, 14:], shown[:, :10])
    assert shown[:, :10].unique().tolist() == list(range(8))


def test_denoising_scatters_ten_symbols_and_asks_for_them_in_order():
    task = Denoising(delay=6)
    shown, target = symbols(batch := task.batch(200, seeded())), batch["target"]
    noisy = shown[:, :15]
    assert ((noisy > 0).sum(1) == 10).all()
    assert torch.equal(noisy[noisy > 0].view(200, 10), target[:, 16:])
    assert (shown[:, 15] == 10).all()
    assert (shown[:, 16:] == 0).all()
    assert (target[:, :16] == 0).all()
    # Every place is as likely: 10 of 15.
    assert ((noisy > 0).float().mean(0) - 10 / 15).abs().max() < 0.15


def test_adding_marks_one_number_in_each_half():
    task = Adding(length=7)
    batch = task.batch(300, seeded())
    numbers, marks = batch["input"].unbind(-1)
    assert (marks[:, :3].sum(1) == 1).all()
    assert (marks[:, 3:].sum(1) == 1).all()
    assert torch.allclose((numbers * marks).sum(1), batch["target"])
    assert (marks.sum(0) > 0).all()


def test_episodic_copy_shows_one_to_ten_symbols():
    task = EpisodicCopy(delay=3)
    shown, target = symbols(batch := task.batch(400, seeded())), batch["target"]
    lengths = (shown[:, :10] < 8).sum(1)
    assert lengths.unique().tolist() == list(range(1, 11))
    for row, length in zip(shown, lengths, strict=True):
        assert (row[:length] < 8).all()
        assert (row[length:13] == 8).all()
    assert (shown[:, 13] == 9).all()
    assert torch.equal(target[:, 14:], shown[:, :10])
    assert (target[:, :14] == 8).all()


def test_associative_recall_asks_for_the_last_value_of_a_key():
    task = AssociativeRecall(keys=3, values=4, writes=6, queries=2)
    batch = task.batch(60, seeded())
    replaced = 0
    for shown, target in zip(batch["input"], batch["target"], strict=True):
        memory = {}
        for step in range(6):
            key, value = shown[step, :3].argmax().item(), shown[step, 3:7].argmax().item()
            replaced += key in memory
            memory[key] = value
            assert shown[step].sum() == 2
            assert target[step] == -100
        for step in (6, 7):
            assert shown[step, 3:].tolist() == [0, 0, 0, 0, 1]
            assert target[step] == memory[shown[step, :3].argmax().item()]
    assert replaced > 60


@pytest.mark.parametrize("task", [Copying(5), Denoising(5), EpisodicCopy(5), AssociativeRecall()])
def test_the_baseline_is_the_loss_of_the_best_answer_that_knows_only_the_step(task):
    """Answer with each step's frequencies in a large sample."""
    target = task.batch(20_000, seeded())["target"]
    frequency = torch.stack([(target == k).float().mean(0) for k in range(task.output_size)], -1)
    logits = frequency.clamp(min=1e-12).log().expand(len(target), -1, -1)
    fresh = task.batch(20_000, seeded(1))
    loss = task.loss(logits, fresh).item()
    assert loss == pytest.approx(task.baseline, rel=0.01)


def test_the_baseline_of_adding_is_the_variance_of_the_sum():
    task = Adding(length=9)
    batch = task.batch(20_000, seeded())
    ones = torch.ones(20_000, 9, 1)
    assert task.loss(ones, batch).item() == pytest.approx(task.baseline, rel=0.03)
    assert Copying(30).baseline == pytest.approx(0.4159, abs=1e-4)
    assert Denoising(30).baseline == pytest.approx(10 * math.log(9) / 50)


@pytest.mark.parametrize("name", SEQUENCE_TASKS)
def test_right_answers_cost_nothing_and_count_as_right(name):
    task = SEQUENCE_TASKS[name]()
    batch = task.batch(8, seeded())
    if name == "adding":
        outputs = torch.zeros(8, task.steps, 1)
        outputs[:, -1, 0] = batch["target"]
    else:
        outputs = 100 * nn.functional.one_hot(batch["target"].clamp(min=0), task.output_size).float()
    assert task.loss(outputs, batch).item() == pytest.approx(0, abs=1e-6)
    assert task.accuracy(outputs, batch).item() == 1
    assert task.accuracy(-outputs, batch).item() < 0.5


@pytest.mark.parametrize(
    "call", [lambda: Copying(0), lambda: Adding(1), lambda: EpisodicCopy(-1), lambda: AssociativeRecall(writes=0)]
)
def test_sizes_below_what_a_task_needs_are_refused(call):
    with pytest.raises(GantoolsError, match="pass at least"):
        call()


def trained(cell, steps):
    task, rng = Copying(delay=30), seeded(1)
    model = SequenceModel(cell, task.output_size, seeded(2))
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9)
    losses = []
    for _ in range(steps):
        batch = task.batch(20, rng)
        loss = task.loss(model(batch["input"]), batch)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20, task.baseline


@pytest.mark.slow
def test_a_urnn_copies_over_thirty_steps_where_an_lstm_does_not():
    """arXiv:1511.06464 at T = 30: 64 complex units in 400 steps; an LSTM of the same size stays at the baseline."""
    loss, baseline = trained(URNN(10, 64, batch_first=True, rng=seeded()), 400)
    assert loss < 0.01 < 0.41 < baseline
    lstm = nn.LSTM(10, 64, batch_first=True)
    with torch.no_grad():
        for p in lstm.parameters():
            p.uniform_(-1 / 8, 1 / 8, generator=seeded())
    loss, baseline = trained(lstm, 400)
    assert loss > 0.95 * baseline
