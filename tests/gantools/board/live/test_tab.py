"""TensorBoard's tab without a server: what a writer wrote is found, served as it was, and nothing else is."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorboard.context
from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
from tensorboard.plugins.base_plugin import TBContext
from torch.utils.tensorboard import SummaryWriter
from werkzeug.test import Client

from gantools.board import add_spectrum
from gantools.board.live import PLUGIN, entry
from gantools.board.live.logs import open_logs
from gantools.board.live.looks import decode
from tests.gantools.board.live.logs import loss, spectrum, turning, write_runs, write_scalars
from tests.gantools.board.live.servers import ask, tensorboard_on, until

# Of what TensorBoard carries along.
pytestmark = pytest.mark.filterwarnings("ignore:html5lib's sanitizer:DeprecationWarning")


def looks_of(data):
    """Return (step, look) of a stream, read independently of the code that wrote it."""
    found, offset = [], 0
    while offset < len(data):
        step, _, length = np.frombuffer(data, "<f8", 3, offset)
        offset += 24
        found.append((int(step), decode(data[offset : offset + int(length)])))
        offset += (int(length) + 7) // 8 * 8
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    write_scalars(folder)
    return folder


@pytest.fixture(scope="module")
def routes(runs):
    multiplexer = EventMultiplexer(tensor_size_guidance={PLUGIN: 0})
    multiplexer.AddRunsFromDirectory(str(runs))
    multiplexer.Reload()
    context = TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(runs)), logdir=str(runs))
    tab = entry.Loader().load(context)
    assert tab is not None and tab.plugin_name == PLUGIN
    return tab.get_plugin_apps()


def get(routes, route, **names):
    environ = {}
    tensorboard.context.set_in_environ(environ, tensorboard.context.RequestContext())
    return Client(routes[route]).get(route, query_string=names, environ_overrides=environ)


def test_the_catalog(routes):
    catalog = get(routes, "/catalog").json
    assert [(s["run"], s["tag"], s["kind"], s["last"]) for s in catalog["series"]] == [
        ("a", "game/jacobian", "spectrum", 400),
        ("b", "game/jacobian", "spectrum", 400),
    ]
    # The static figures of the spectra are no samples.
    assert catalog["pictures"] == [{"run": "a", "tag": "samples"}, {"run": "b", "tag": "samples"}]


def test_scalars_are_those_that_were_written(routes):
    tags = {(entry["run"], entry["tag"]) for entry in get(routes, "/catalog").json["scalars"]}
    names = ["loss/critic", "loss/generator", "field_norm/critic", "step_seconds", "metrics/recall", "metrics/fid"]
    assert tags == {(run, name) for run in "ab" for name in [*names, "game/jacobian/spectral_radius"]}
    answer = get(routes, "/scalars", run="b", tag="loss/critic")
    assert answer.status_code == 200 and answer.mimetype == "application/octet-stream"
    steps, values = np.frombuffer(answer.data, "<f8").reshape(-1, 2).T
    assert steps.tolist() == list(range(0, 500, 10))
    np.testing.assert_allclose(values, [loss(step, 1) for step in range(0, 500, 10)], rtol=1e-6)
    values = np.frombuffer(get(routes, "/scalars", run="a", tag="metrics/fid").data, "<f8")[1::2]
    np.testing.assert_array_equal(values, [10, np.nan, 210, 310, 410])
    assert get(routes, "/scalars", run="a", tag="none").status_code == 404


def test_a_step_that_was_logged_again_has_its_newer_scalar(tmp_path):
    with SummaryWriter(str(tmp_path / "a")) as writer:
        add_spectrum(writer, "x", turning(0), 0, scalars=False)
        for step, value, time in ((0, 1.0, 10), (5, 2.0, 11), (9, 3.0, 12), (5, 4.0, 20), (9, 5.0, 21)):
            writer.add_scalar("loss", value, step, walltime=time)
    found = open_logs(tmp_path).scalars("a", "loss")
    assert found is not None and found.tolist() == [[0, 1], [5, 4], [9, 5]]


def test_scalars_of_a_training_are_beside_an_analysis_of_it_and_no_others(tmp_path):
    for run in ("a", "a/analysis", "b"):
        with SummaryWriter(str(tmp_path / run)) as writer:
            if run.endswith("analysis"):
                add_spectrum(writer, "x", turning(0), 0, scalars=False)
            else:
                writer.add_scalar("loss", 1.0, 0)
    assert [(s["run"], s["tag"]) for s in open_logs(tmp_path).catalog()["scalars"]] == [("a", "loss")]


def test_numbers_are_those_that_were_written(routes):
    answer = get(routes, "/numbers", run="b", key="game/jacobian/numbers")
    assert answer.status_code == 200 and answer.mimetype == "application/octet-stream"
    found = looks_of(answer.data)
    assert [step for step, _ in found] == [0, 100, 200, 300, 400]
    for step, (facts, arrays) in found:
        written = turning(step // 100, seed=1)
        np.testing.assert_allclose(arrays["real"] + 1j * arrays["imag"], written.values, rtol=1e-6)
        np.testing.assert_allclose(arrays["share critic"], written.shares["critic"], rtol=1e-6)
        assert facts["n"] == 1000 and facts["lr"] == 0.1


def test_pictures(routes):
    assert get(routes, "/pictures", run="a", tag="samples").json == [0, 100, 200, 300, 400]
    answer = get(routes, "/picture", run="a", tag="samples", step=300)
    assert answer.data.startswith(b"\x89PNG") and answer.mimetype == "image/png"


@pytest.mark.parametrize(
    ("route", "names", "code"),
    [
        ("/numbers", {"run": "a"}, 400),
        ("/numbers", {"run": "a", "key": "nothing"}, 404),
        ("/numbers", {"run": "../../etc", "key": "passwd"}, 404),
        ("/numbers", {"run": "a", "key": "samples"}, 404),
        ("/pictures", {"run": "a"}, 400),
        ("/picture", {"run": "a", "tag": "samples", "step": "x"}, 400),
        ("/picture", {"run": "a", "tag": "samples", "step": 17}, 404),
        ("/picture", {"run": "nobody", "tag": "samples", "step": 0}, 404),
    ],
)
def test_bad_requests_get_a_sentence(routes, route, names, code):
    answer = get(routes, route, **names)
    assert answer.status_code == code and answer.text.endswith(".")
    assert answer.mimetype == "text/plain" and "etc" not in answer.text


def test_what_is_served_runs_under_tensorboards_policy(routes):
    program = get(routes, "/view.js")
    assert program.mimetype == "text/javascript" and "export { render" in program.text
    assert "eval(" not in program.text and "innerHTML" not in program.text
    assert not [line for line in program.text.splitlines() if line.startswith("import ")]
    # The only addresses are names of an XML dialect.
    assert program.text.count("http") == program.text.count("http://www.w3.org/2000/svg")
    assert get(routes, "/view.css").mimetype == "text/css"
    assert "url(" not in get(routes, "/view.css").text
    # No route has a part that a request chooses: nothing of the disk can be asked for.
    assert not [route for route in routes if "*" in route]


def test_foreign_bytes_under_our_name_do_no_harm(tmp_path):
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata
    from tensorboard.util.tensor_util import make_tensor_proto

    with SummaryWriter(str(tmp_path)) as writer:
        for tag, content in (("x", b"{"), ("y", b'{"version": 99}'), ("z", b'{"version": 1, "kind": 3, "tag": "t"}')):
            plugin = SummaryMetadata.PluginData(plugin_name=PLUGIN, content=content)
            metadata = SummaryMetadata(plugin_data=plugin, data_class=2)
            value = Summary.Value(tag=tag, tensor=make_tensor_proto(np.zeros(3, np.float32)), metadata=metadata)
            writer._get_file_writer().add_summary(Summary(value=[value]), 0)
    logs = open_logs(tmp_path)
    assert logs.catalog()["series"] == []
    assert logs.looks(".", "x") == []


def test_any_spectrum_can_be_written(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for step, values in enumerate([[], [float("nan")], [1.0, -1.0], [1 + 1j, 1 - 1j]]):
            add_spectrum(writer, "x", spectrum(values), step)
    found = open_logs(tmp_path).looks(".", "x/numbers")
    assert [len(decode(data)[1]["real"]) for _, _, data in found] == [0, 1, 2, 2]


def test_the_writer_of_tensorboardx(tmp_path):
    writers = pytest.importorskip("tensorboardX")
    with writers.SummaryWriter(str(tmp_path)) as writer:
        add_spectrum(writer, "x", turning(0), 7)
    (found,) = open_logs(tmp_path).looks(".", "x/numbers")
    assert found[0] == 7
    np.testing.assert_allclose(decode(found[2])[1]["real"], turning(0).values.real, rtol=1e-6)


def test_a_writer_without_a_file_writer_keeps_its_figure():
    seen = []
    writer = SimpleNamespace(
        add_figure=lambda tag, figure, step: seen.append(tag), add_scalar=lambda *args: seen.append("scalar")
    )
    add_spectrum(writer, "x", spectrum([1.0]), 0, scalars=False)
    assert seen == ["x"]


def test_tensorboard_starts_without_a_tab_that_cannot_load(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "gantools.board.live.tab", None)
    assert entry.Loader().load(TBContext()) is None
    assert "The gantools tab is not shown" in caplog.text


def test_as_many_steps_as_a_long_run_has_unless_told():
    for given, kept in ((None, 2000), ({}, 2000), ({"images": 3}, 2000), ({PLUGIN: 50}, 50)):
        flags = SimpleNamespace(samples_per_plugin=given)
        entry.Loader().fix_flags(flags)
        assert flags.samples_per_plugin == {PLUGIN: kept, "text": 2000} | (given or {})


def test_the_tab_loads_neither_torch_nor_matplotlib():
    code = (
        "import sys, gantools.board.live.entry, gantools.board.live.tab, gantools.board.live.page as p; p.script();"
        "print(sorted({'torch', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("loader", ["--load_fast=true", "--load_fast=false"])
def test_tensorboard_itself_has_the_tab(runs, loader):
    """The entry point of the installed package, with both of TensorBoard's loaders."""
    with tensorboard_on(runs, loader) as address:
        assert ask(f"{address}/data/plugins_listing")[PLUGIN]["tab_name"] == "Spectra"
        series = until(lambda: ask(f"{address}/data/plugin/{PLUGIN}/catalog")["series"], lambda found: len(found) == 2)
        assert [entry["last"] for entry in series] == [400, 400]
