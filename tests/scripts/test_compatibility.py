"""The check of published models: some that need PyTorch alone, and that it finds what it looks for."""

import dataclasses
import json

import pytest
import torch
from compatibility import configurations, entries, examination, models, page
from compatibility.oracle import Oracle
from compatibility.untouched import changed, fingerprint
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError

PLAIN = {entry.name: entry for m in models.modules() if m.startswith("plain") for entry in entries.load(m)}
CONFIGURATIONS = {entry.name: entry for entry in configurations.load()}
TESTED = [
    "nano_gpt",
    "nano_gpt_checkpointed",
    "llama_block",
    "resnet_in_train_mode",
    "mobilenet_v3_block",
    "diffusion_unet",
    "graph_convolution",
    "gaussian_process",
    "normalizing_flow",
    "state_space",
    "lstm_classifier",
    "dora",
    "vq_vae",
    "simsiam",
    "mixture_of_experts",
    "recommender_with_sparse_gradients",
    "siren_with_eikonal_loss",
    "fourier_neural_operator",
    "backward_that_runs_the_module_again",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", TESTED)
def test_models(name):
    result = examination.examine(PLAIN[name])
    assert result.outcome in examination.GOOD, result


def one_of_each():
    """Return configurations that cover every wrapper, precision, layer, kernel and container."""
    missing = {(place, part) for name in CONFIGURATIONS for place, part in enumerate(name.split(page.SEPARATOR))}
    for name in CONFIGURATIONS:
        found = set(enumerate(name.split(page.SEPARATOR)))
        if found & missing:
            missing -= found
            yield name


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # torch.jit's of its own age
@pytest.mark.parametrize("name", list(one_of_each()))
def test_configurations(name):
    try:
        result = examination.examine(CONFIGURATIONS[name])
    finally:
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
    assert result.outcome in examination.GOOD, result


def test_there_are_as_many_as_the_page_says():
    assert len(CONFIGURATIONS) >= 200
    with pytest.raises(ValueError, match="two entries"):
        entries.model("torch")(PLAIN["dora"].make)


# What the check must find ---------------------------------------------------------------------------------------------

SMALL = entries.Entry("small", "torch", lambda: (nn.Linear(2, 1), entries.on_output, torch.randn(3, 2)))


def outcome(monkeypatch, change):
    hessian = gt.analysis.hessian
    monkeypatch.setattr(gt.analysis, "hessian", lambda net, *rest: change(net, hessian(net, *rest)))
    return examination.examine(SMALL)


def raising(error):
    def change(net, H):
        raise error

    return change


def touched(net, H):
    net.weight.grad = torch.zeros_like(net.weight)
    return H


def test_a_right_product_and_index():
    result = examination.examine(SMALL)
    assert (result.outcome, result.parameters, result.index) == (examination.RIGHT, 3, "0 negative, 3 positive")
    assert result.error < 1e-9 and result.single < 1e-5


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda net, H: 1.001 * H, examination.WRONG),
        (raising(RuntimeError("derivative missing")), examination.RAW),
        (raising(GantoolsError("Not this one.")), examination.FALSE),
        (touched, examination.TOUCHED),
    ],
)
def test_what_is_wrong_is_found(monkeypatch, change, expected):
    assert outcome(monkeypatch, change).outcome == expected


def test_a_model_that_must_be_refused_and_is_not():
    noisy = dataclasses.replace(SMALL, refused="it draws numbers")
    assert examination.examine(noisy).outcome == examination.WRONG


def test_noise_is_no_model():
    def loss(net, x):
        return (net(x) * torch.randn(3, 1, dtype=x.dtype)).square().mean()

    noisy = dataclasses.replace(SMALL, make=lambda: (nn.Linear(2, 1), loss, torch.randn(3, 2)))
    result = examination.examine(noisy)
    assert result.outcome == examination.REFUSED and "differs between two evaluations" in result.says


def test_differences_are_those_of_a_quadratic():
    """The mean square of X w + b: twice the mean of the products of inputs."""
    entry = dataclasses.replace(
        SMALL, make=lambda: (nn.Linear(2, 1), lambda net, x: net(x).square().mean(), torch.randn(3, 2))
    )
    oracle = Oracle(entry)
    inputs = torch.cat([oracle.batch, torch.ones(3, 1, dtype=torch.float64)], 1)
    exact = 2 * inputs.T @ inputs / 3
    found, noise = oracle.product(oracle.direction())
    torch.testing.assert_close(found, exact @ oracle.direction())
    assert noise < 1e-6 and oracle.repeats()
    torch.testing.assert_close(torch.as_tensor(oracle.eigenvalues()), torch.linalg.eigvalsh(exact), atol=1e-8, rtol=0)


def test_differences_of_what_turns_to_float32_by_itself():
    entry = dataclasses.replace(
        SMALL, make=lambda: (nn.Linear(2, 1), lambda net, x: net(x).float().exp().mean().half(), torch.randn(3, 2))
    )
    oracle = Oracle(entry)
    assert oracle.gradient().dtype == torch.float64 and oracle.product(oracle.direction())[1] < 1e-7


@pytest.mark.parametrize("what", ["weight", "gradient", "mode", "hook", "random state", "buffer"])
def test_whatever_changes_is_seen(what):
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = fingerprint(net)
    assert not changed(before, fingerprint(net))
    with torch.random.fork_rng(), torch.no_grad():
        match what:
            case "weight":
                net[0].weight[0, 0] = net[0].weight[0, 0].nextafter(torch.tensor(9.0))
            case "gradient":
                net[0].weight.grad = torch.zeros(2, 2)
            case "mode":
                net[1].eval()
            case "hook":
                net[0].register_forward_hook(lambda *_: None)
            case "random state":
                torch.randn(1)
            case "buffer":
                net[1].num_batches_tracked += 1
        assert len(changed(before, fingerprint(net))) == 1


# The page -------------------------------------------------------------------------------------------------------------


def test_the_page_has_every_result_and_three_numbers():
    def row(name, outcome, **more):
        return dataclasses.asdict(examination.Result(name, "torch", outcome, 3, 1e-9, 1e-6, **more))

    rows = [row("one", "right"), row("two", "silently wrong", says="off | by 1"), row("a | b | c | d | e", "raw error")]
    text = page.totals(rows)
    assert "2 models of 1 packages: 1 right" in text and "1 silently wrong, 0 falsely refused, 0 raw error" in text
    assert "1 configurations: 0 right" in text and "0 silently wrong, 0 falsely refused, 1 raw error" in text
    written = page.written(rows)
    assert text in written and "| two | torch | 3 | silently wrong |" in written and "| a | b | c | d | e |" in written
    assert [page.good(json.loads(json.dumps(row))) for row in rows] == [True, False, False] and not page.good(None)
