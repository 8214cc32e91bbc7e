"""Every example: products with J and its transpose against finite differences and a dense Jacobian by autograd."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from gantools.analysis import jacobian
from gantools.batches import each_batch
from gantools.cli import main
from tests.game_oracles import finite_product, relative
from tests.quick import few

FOLDER = Path(__file__).parents[1] / "examples"
SMALL = {
    "bilinear": {},
    "classifier": {"steps": 3},
    "own_gan": {},
    "convolutional": {"width": 2, "samples": 24, "steps": 5},
    "transformer": {"width": 4, "layers": 1, "length": 4, "samples": 12, "steps": 5},
    "recurrent": {"width": 4, "length": 5, "samples": 12, "steps": 5},
    "vae": {"width": 4, "samples": 24, "steps": 5},
}
# Of published models: the package that each needs, options, and the step of differences: short where there are kinks,
# long where the losses are of float32 whatever the model is.
PUBLISHED = {
    "gpt2": ("transformers", {"width": 4, "layers": 1, "length": 6, "steps": 3}, 1e-3),
    "mobilenet_v3": ("torchvision", {"samples": 6, "steps": 3}, 1e-7),
    "graph_network": ("torch_geometric", {"width": 2, "steps": 3}, 1e-5),
    "gaussian_process": ("gpytorch", {"samples": 8, "steps": 3}, 1e-4),
}


def require(package):
    try:
        importlib.import_module(package)
    except (ImportError, RuntimeError) as error:  # torchvision raises the latter beside a PyTorch without CUDA
        pytest.skip(f"{package} cannot be imported: {error}")


def example(name, **options):
    spec = importlib.util.spec_from_file_location(f"example_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    with torch.random.fork_rng():  # they seed the global generator, as programs do
        game, batches = module.build(**options)
    return game, next(iter(each_batch(batches)))


def plain_field(game, batch, create_graph=False):
    """Each player's gradient of its own loss by its own parameters, by plain autograd on the modules."""
    losses = game.losses(game.players, batch)
    pieces = []
    for player, module in game.players.items():
        parameters = [p for p in module.parameters() if p.requires_grad]
        pieces += torch.autograd.grad(losses[player], parameters, create_graph=create_graph, retain_graph=True)
    return torch.cat([g.reshape(-1) for g in pieces])


def field_at(game, batch):
    """The field as a function of the weights, on a copy whose buffers may move."""
    twin = copy.deepcopy(game)

    def function(w):
        twin.load_vector(w)
        return plain_field(twin, batch).detach()

    return function


def dense_jacobian(game, batch):
    """Row by row, by differentiating the plain field once more."""
    twin = copy.deepcopy(game)
    with sdpa_kernel(SDPBackend.MATH):
        field = plain_field(twin, batch, create_graph=True)
    rows = [torch.autograd.grad(one, twin.parameters(), retain_graph=True, materialize_grads=True) for one in field]
    return torch.stack([torch.cat([g.reshape(-1) for g in row]) for row in rows])


def test_every_example_that_builds_a_game_is_here():
    assert {path.stem for path in FOLDER.glob("*.py") if "\ndef build(" in path.read_text()} == {*SMALL, *PUBLISHED}


@pytest.mark.parametrize("name", few(SMALL, 2))
def test_products(name):
    game, batch = example(name, **SMALL[name])
    if game.dtype == torch.float32:
        game.module.double()
        game = type(game)(game.players, game.losses)
        batch = {key: value.double() for key, value in batch.items()}
    buffers = game.buffers()
    J = jacobian(game, batch)
    u, v = torch.randn(2, J.n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    forward, backward = J @ u, J.T @ u
    assert all(torch.equal(b, buffers[key]) for key, b in game.buffers().items())
    field = field_at(game, batch)
    w = game.vector()
    assert relative(forward, finite_product(field, w, u / u.norm()) * u.norm()) < 1e-6
    along_v = finite_product(field, w, v / v.norm()) * v.norm()
    assert abs(backward.dot(v) - u.dot(along_v)) < 1e-6 * backward.norm() * v.norm()
    if J.n <= 700:
        dense = dense_jacobian(game, batch)
        assert relative(forward, dense @ u) < 1e-10 and relative(backward, dense.T @ u) < 1e-10
        assert relative(J.dense(), dense) < 1e-10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the packages'
@pytest.mark.parametrize("name", PUBLISHED)
def test_products_and_index_of_published_models(name, capsys):
    package, options, eps = PUBLISHED[name]
    require(package)
    game, batch = example(name, **options)
    u, shift = torch.randn(2, game.num_parameters, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    game.load_vector(game.vector() + 0.01 * shift)  # away from the kinks of dead units, whose biases are zero
    H = jacobian(game, batch)
    expected = finite_product(field_at(game, batch), game.vector(), u / u.norm(), eps) * u.norm()
    assert relative(H @ u, expected) < 1e-4
    method = ["--method", "estimate"] if H.n > 300 else []
    with torch.random.fork_rng():
        assert main(["index", f"{FOLDER / name}.py:build", *method]) == 0
    printed = capsys.readouterr().out
    assert "negative" in printed and "positive" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bilinear", "classifier", "convolutional", "recurrent", "transformer", "vae"])
def test_the_index_of_each_runs(name, capsys):
    with torch.random.fork_rng():
        assert main(["index", f"{FOLDER / name}.py:build"]) == 0
    printed = capsys.readouterr().out
    assert "negative" in printed and "positive" in printed


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bilinear", "convolutional", "recurrent", "transformer", "vae"])
def test_each_runs_as_a_program(name, capsys):
    source = (FOLDER / f"{name}.py").read_text()
    with torch.random.fork_rng():
        exec(compile(source, f"{name}.py", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out.strip()
