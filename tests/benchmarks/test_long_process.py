"""benchmarks/long_process.py with a small model and few rounds: nothing is compiled after the third call."""

import pytest

from tests.helpers.paths import BENCHMARKS
from tests.helpers.small_runs import work_in, write_small_model


@pytest.fixture
def long_process(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    work_in(monkeypatch, tmp_path)
    import long_process

    return long_process


@pytest.mark.slow
def test_nothing_is_compiled_and_no_file_left_open_after_the_third_call(long_process, monkeypatch, tmp_path):
    monkeypatch.setattr(long_process, "LENGTHS", (8,))
    monkeypatch.setattr(long_process, "BATCHES", (1, 2))
    found = long_process.measure(str(write_small_model(tmp_path / "small")), 5, 6, 4)
    assert set(found) == {"trainings", "generations", "evaluations"}
    for figures in found.values():
        third, last = figures["third"], figures["last"]
        assert (last["traces"], last["files"]) == (third["traces"], third["files"])


@pytest.mark.parametrize(
    ("changes", "kept"),
    [({}, True), ({"bytes": 1049}, True), ({"bytes": 1051}, False), ({"files": 11}, False), ({"traces": 4}, False)],
)
def test_five_per_cent_more_or_one_more_trace_is_too_much(long_process, changes, kept):
    third = {"bytes": 1000, "files": 10, "traces": 3}
    assert long_process.kept({"third": third, "last": third | changes}) is kept
