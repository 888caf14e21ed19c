"""docs/defaults.md says what is true: every setting with its default, and the figures that the runs gave."""

import dataclasses
import json
import re

import pytest

from gpt2simple.settings import FinetuneSettings
from tests.helpers.paths import BENCHMARKS, ROOT

DOCUMENT = (ROOT / "docs" / "defaults.md").read_text(encoding="utf-8")


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import defaults

    return defaults


@pytest.fixture
def result():
    """What the document's runs gave: the file that it links to."""
    (path,) = set(re.findall(r"\]\(\.\./(benchmarks/results/[^)]+)\)", DOCUMENT))
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


def test_every_setting_is_in_the_table_with_its_default():
    rows = re.findall(r"^\| `(\w+)` \| `([^`]*)` \| .{20,} \|$", DOCUMENT, re.MULTILINE)
    fields = [(f.name, repr(f.default)) for f in dataclasses.fields(FinetuneSettings)]
    assert rows == [*fields, ("validation_split", "0.1")]


def test_the_table_of_runs_is_what_the_runs_gave(benchmark, result):
    assert benchmark.markdown(result["runs"]) in DOCUMENT


def test_so_are_the_tables_on_when_to_stop(benchmark, result):
    stops = benchmark.stops_by_seed(result["runs"])
    assert stops
    for found in stops.values():
        assert benchmark.stopping.markdown(found) in DOCUMENT
