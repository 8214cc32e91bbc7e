"""Tasks: their points by hand, and the classifiers with the papers' parameter counts."""

import itertools
import math

import numpy as np
import pytest
import torch
from sklearn.svm import LinearSVC
from torch.nn.functional import binary_cross_entropy_with_logits

import gantools as gt
from gantools.data.classification import CLASSIFICATION_TASKS, Sample, accuracy, classifier, problem
from gantools.errors import GantoolsError
from tests.quick import few


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", CLASSIFICATION_TASKS)
def test_tasks_are_functions_of_their_seed(name):
    before = torch.get_rng_state()
    one, two = (CLASSIFICATION_TASKS[name]().draw(3) for _ in range(2))
    assert torch.equal(one.inputs, two.inputs) and torch.equal(one.targets, two.targets)
    assert torch.equal(torch.get_rng_state(), before)
    assert one.inputs.dtype == one.targets.dtype == torch.float64
    assert set(one.targets.tolist()) == {0.0, 1.0}
    assert CLASSIFICATION_TASKS.describe(name).endswith(".")


def test_two_spirals_are_those_of_lang_and_witbrock():
    sample = CLASSIFICATION_TASKS["two_spirals"]().draw()
    assert sample.inputs.shape == (194, 2)
    for i in (0, 8, 16, 31, 96):
        radius, angle = (104 - i) / 104, math.pi * i / 16
        assert sample.inputs[i].tolist() == pytest.approx([radius * math.sin(angle), radius * math.cos(angle)])
        assert sample.inputs[97 + i].tolist() == pytest.approx((-sample.inputs[i]).tolist())
    assert sample.targets.tolist() == [0.0] * 97 + [1.0] * 97
    assert abs(
        CLASSIFICATION_TASKS["two_spirals"](noise=0.1).draw().inputs - sample.inputs
    ).std().item() == pytest.approx(0.06, abs=0.02)
    dense = CLASSIFICATION_TASKS["two_spirals"](points=193).draw().inputs
    torch.testing.assert_close(dense[:193:2], sample.inputs[:97])


def test_the_linear_set_is_separable_and_the_nonlinear_one_is_not():
    linear, nonlinear = (CLASSIFICATION_TASKS[name]().draw() for name in ("esp_linear", "esp_nonlinear"))
    assert (linear.inputs.shape, nonlinear.inputs.shape) == ((51, 2), (863, 2))
    assert (linear.inputs @ torch.tensor([0.8, 0.6], dtype=torch.float64) - 3.5).abs().min() > 0.1

    def score(sample):
        return LinearSVC(C=1e4, dual=False).fit(sample.inputs, sample.targets).score(sample.inputs, sample.targets)

    assert score(linear) == 1.0
    assert score(nonlinear) < 0.85
    for sample in (linear, nonlinear):
        assert 0.3 < sample.targets.mean() < 0.7
    x, y = nonlinear.inputs.T
    assert ((y > 0.7 + 0.18 * torch.cos(3 * math.pi * x)).double() == nonlinear.targets).all()


TABLES = {"and": "0001", "or": "0111", "xor": "0110", "nand": "1110", "nor": "1000", "xnor": "1001"}


@pytest.mark.parametrize(("gate", "table"), TABLES.items())
def test_gates_have_their_truth_tables(gate, table):
    sample = CLASSIFICATION_TASKS["gate"](gate=gate).draw()
    assert sample.inputs.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert "".join(str(int(t)) for t in sample.targets) == table


def test_parity_majority_and_first_bit():
    rows = [list(row) for row in itertools.product((0.0, 1.0), repeat=3)]
    for function, rule in (
        ("parity", lambda r: sum(r) % 2), ("majority", lambda r: sum(r) >= 2), ("first", lambda r: r[0]),
    ):  # fmt: skip
        sample = CLASSIFICATION_TASKS["parity"](function=function).draw()
        assert sample.inputs.tolist() == rows
        assert sample.targets.tolist() == [float(rule(row)) for row in rows]


def test_splits_are_disjoint_and_whole():
    sample = CLASSIFICATION_TASKS["esp_nonlinear"]().draw()
    train, test = sample.split(0.75, 1)
    assert (len(train.targets), len(test.targets)) == (647, 216)
    both = torch.cat([train.inputs, test.inputs])
    assert len(both.unique(dim=0)) == 863
    assert torch.equal(train.inputs, sample.split(0.75, 1)[0].inputs)
    assert not torch.equal(train.inputs, sample.split(0.75, 2)[0].inputs)


@pytest.mark.parametrize(
    ("hidden", "activation", "output", "n"),
    [
        ((10,), "relu", "", 41), ((8, 2), "relu", "", 45), ((10,), "sigmoid", "", 41),
        ((10,), "esp(learned=True)", "esp(learned=True)", 52), ((8, 2), "esp(learned=True)", "esp(learned=True)", 56),
    ],
)  # fmt: skip
def test_classifiers_have_as_many_parameters_as_in_the_esp_paper(hidden, activation, output, n):
    assert count(classifier(2, hidden, activation, output)) == n


def test_complex_classifiers_count_each_part():
    assert count(classifier(2, (4, 4), "crelu", network="complex_mlp")) == 2 * (2 * 4 + 4) + 2 * (16 + 4) + 8 + 1
    assert count(classifier(2, (4, 4), "crelu", network="unitary_mlp")) == 2 * (2 * 4 + 4) + (16 + 8) + 8 + 1
    modrelu = classifier(2, (4, 4), "modrelu", network="complex_mlp")
    assert count(modrelu) == count(classifier(2, (4, 4), "crelu", network="complex_mlp")) + 8


def test_the_problem_is_the_cross_entropy_of_a_plain_network():
    game, (x, t) = problem("esp_nonlinear", (8, 2), "esp(beta=1.5, learned=True)", "esp(learned=True)", seed=4)
    w1, b1, beta1, w2, b2, beta2, w3, b3, beta3 = (p.detach() for p in game.parameters())
    h = x @ w1.T + b1
    h = h * torch.sigmoid(beta1 * h)
    h = h @ w2.T + b2
    h = h * torch.sigmoid(beta2 * h)
    logit = (h @ w3.T + b3)[:, 0]
    logit = logit * torch.sigmoid(beta3 * logit)
    expected = binary_cross_entropy_with_logits(logit, t)
    value = game.field_at(game.vector(), game.buffers(), (x, t)).losses["model"]
    torch.testing.assert_close(value, expected)
    assert beta1.tolist() == [1.5] * 8


@pytest.mark.parametrize(
    ("network", "activation"),
    [("mlp", "relu"), ("mlp", "esp(learned=True)"), ("complex_mlp", "modrelu"), ("unitary_mlp", "cardioid")],
)
def test_the_index_of_a_classifier_counts_its_hessian(network, activation):
    game, batch = problem("gate", (3, 3), activation, network=network, gate="xor")
    hessian = gt.analysis.hessian(game, batch)
    index = gt.analysis.index(hessian, tol=1e-9)
    values = np.linalg.eigvalsh(hessian.dense().numpy())
    assert index.negative == pytest.approx((values < -1e-9).mean())
    assert index.zero == pytest.approx((abs(values) <= 1e-9).mean())


@pytest.mark.parametrize(
    ("network", "activation"), few([("mlp", "silu"), ("complex_mlp", "cardioid"), ("unitary_mlp", "cardioid")], 1)
)
def test_classifiers_learn_xor(network, activation):
    game, batch = problem("gate", (6, 6), activation, network=network, gate="xor", seed=1)
    optimizer = gt.trainers.make("simultaneous", game, lr=0.03, base="adam")
    for _ in range(150):
        optimizer.step(batch)
    assert accuracy(game.players["model"], Sample(*batch)) == 1.0


def test_wrong_requests_are_sentences():
    with pytest.raises(GantoolsError, match="Did you mean 'two_spirals'"):
        problem("spirals")
    with pytest.raises(GantoolsError, match="Unknown network 'cnn': pass mlp"):
        classifier(2, network="cnn")  # type: ignore[arg-type]
    with pytest.raises(GantoolsError, match="pass at least 1 of each"):
        classifier(2, (0,))
    with pytest.raises(GantoolsError, match="Unknown gate 'not'"):
        CLASSIFICATION_TASKS["gate"](gate="not").draw()
    with pytest.raises(GantoolsError, match="Unknown function 'sum'"):
        CLASSIFICATION_TASKS["parity"](function="sum").draw()
    with pytest.raises(GantoolsError, match="bits = 0: pass at least 1"):
        CLASSIFICATION_TASKS["parity"](bits=0).draw()
    with pytest.raises(GantoolsError, match="margin = 9.0"):
        CLASSIFICATION_TASKS["esp_linear"](margin=9.0).draw()
    with pytest.raises(GantoolsError, match="fraction = 0.0"):
        CLASSIFICATION_TASKS["gate"]().draw().split(0.0)
    with pytest.raises(GantoolsError, match="this layer's are complex"):
        classifier(2, activation="relu", network="complex_mlp")
