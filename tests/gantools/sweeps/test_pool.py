"""Pools of processes: results by place, a killed process, and sentences for what does not fit together."""

import functools
import sys
import threading

import pytest
import torch

import gantools as gt
from gantools.cli import main
from gantools.errors import MissingDependencyError, NonFiniteFieldError
from gantools.sweeps import pool as module
from gantools.sweeps.once import held, once
from gantools.sweeps.pool import Pool
from tests.gantools.sweeps import tasks


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"jobs": 0}, "--jobs is 0"),
        ({"backend": "dusk"}, "Did you mean 'dask'"),
        ({"backend": "dask"}, "needs the address of a scheduler"),
        ({"scheduler": "tcp://x:1"}, "pass --backend dask with it"),
        ({"backend": "dask", "scheduler": "tcp://x:1", "jobs": 2}, "--jobs is for this machine"),
    ],
)
def test_what_does_not_fit_together(settings, words, capsys):
    with pytest.raises(gt.GantoolsError, match=words):
        Pool(**settings)
    flags = [part for name, value in settings.items() for part in (f"--{name}", str(value))]
    assert main(["compare", "--optimizers", "simultaneous", *flags]) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_alone_tasks_are_done_here_in_order_as_they_are_asked_for():
    done = []
    found = Pool().completed(lambda number: done.append(number) or number**2, [(3,), (2,)])
    assert next(found) == (0, 9) and done == [3]
    assert list(found) == [(1, 4)]
    assert list(Pool(jobs=2).completed(tasks.squared, [])) == []


@pytest.mark.parametrize(
    ("pool", "package", "words"),
    [
        (Pool(jobs=2), "joblib", "gantools.sweeps."),
        (Pool(backend="dask", scheduler="tcp://127.0.0.1:9"), "distributed", "gantools.dask."),
    ],
)
def test_a_package_that_is_missing_is_named(pool, package, words, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=words):
        list(pool.completed(tasks.squared, [(1,)]))


def test_a_scheduler_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(module, "SECONDS_TO_CONNECT", 0.5)
    for address in ("tcp://127.0.0.1:9", "nonsense"):
        with pytest.raises(gt.GantoolsError, match="No dask scheduler answers at"):
            list(Pool(backend="dask", scheduler=address).completed(tasks.squared, [(1,)]))


def test_a_worker_stands_in_the_senders_folder_or_says_that_it_is_missing(tmp_path, monkeypatch):
    import cloudpickle

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "sent_along.py").write_text("import os\ndef where(): return os.getcwd()\n")
    call = b"c__builtin__\neval\n(V(0, __import__('sent_along').where, ())\ntR."
    threads = torch.get_num_threads()
    try:
        found = module._on_worker(call, str(tmp_path / "here"), (str(tmp_path / "here"),))
    finally:
        torch.set_num_threads(threads)
    assert found == (0, str(tmp_path / "here"))
    with pytest.raises(gt.GantoolsError, match="has no folder .*one file system for all its machines"):
        module._on_worker(cloudpickle.dumps((0, tasks.squared, (1,))), str(tmp_path / "gone"), ())


@pytest.mark.slow
def test_processes_of_this_machine():
    found = dict(Pool(jobs=2).completed(tasks.told, [(n,) for n in range(6)]))
    assert [found[n][0] for n in range(6)] == list(range(6)) and {threads for _, _, threads in found.values()} == {1}
    sent = functools.partial(lambda number, by: number * by, by=2)  # by value, as functions of a script are
    assert sorted(Pool(jobs=2).completed(sent, [(1,), (2,)])) == [(0, 2), (1, 4)]
    with pytest.raises(NonFiniteFieldError, match="lower the rate") as error:
        list(Pool(jobs=2).completed(tasks.failing, [(1,), (2,)]))
    assert error.value.player == "generator" and error.value.step == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:A worker stopped while some jobs were given")
def test_a_process_that_is_killed_costs_its_own_task_a_second_try(tmp_path):
    found = Pool(jobs=2).completed(tasks.killed_once, [(tmp_path, n) for n in range(5)])
    assert sorted(found) == [(n, n) for n in range(5)] and (tmp_path / "killed").exists()
    with pytest.raises(gt.GantoolsError, match="killed 4 times.*fewer --jobs"):
        list(Pool(jobs=2).completed(tasks.killed, [(1,), (2,)]))


def test_what_one_holds_another_waits_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("gantools.sweeps.once.SECONDS_BEFORE_IT_IS_SAID", 0.05)
    monkeypatch.setattr("gantools.sweeps.once.SECONDS_BETWEEN_LOOKS", 0.01)
    order, inside, go_on = [], threading.Event(), threading.Event()

    def first():
        with held(tmp_path / "run.json"):
            inside.set()
            go_on.wait(30)
            order.append("first")

    def second():
        with held(tmp_path / "run.json"):
            order.append("second")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    threads[0].start()
    assert inside.wait(30)
    threads[1].start()
    threads[1].join(0.3)
    with held(tmp_path / "other.json"):  # another one is free
        assert order == []
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert order == ["first", "second"]
    assert "run is computed by another process: waiting for it." in capsys.readouterr().err


def test_a_result_is_computed_once_for_each_setting(tmp_path):
    path, calls = tmp_path / "runs" / "a.json", []

    def compute():
        calls.append(1)
        return {"value": len(calls), "none": None}

    assert once(path, {"steps": 3}, compute) == once(path, {"steps": 3}, compute) == {"value": 1, "none": None}
    assert once(path, {"steps": 4}, compute)["value"] == 2
    path.write_text("{")
    assert once(path, {"steps": 4}, compute)["value"] == 3 and len(calls) == 3
    with pytest.raises(ZeroDivisionError):
        once(tmp_path / "b.json", {}, lambda: 1 / 0)
    assert once(tmp_path / "b.json", {}, lambda: 7) == 7  # the lock is free again
