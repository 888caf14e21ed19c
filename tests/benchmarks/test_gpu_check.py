"""What of benchmarks/gpu_check.py can be tested without a GPU: that it says so, and how it judges."""

import json
import sys

import numpy as np
import pytest

from gpt2simple.backend import devices
from tests.helpers.paths import BENCHMARKS


@pytest.fixture
def gpu_check(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu_check

    return gpu_check


def test_without_a_gpu_it_says_so_and_fails(gpu_check, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu_check.py"])
    monkeypatch.setattr(devices, "has_gpu", lambda: False)
    assert gpu_check.main() == 1
    said = capsys.readouterr()
    assert "TensorFlow sees no GPU here" in said.err
    assert "pip install '.[gpu]'" in said.err
    assert json.loads(said.out.splitlines()[-1]) == {"benchmark": "gpu-check", "gpu": None}


def arrays(**changes):
    return {"losses": np.array([5.0, 4.0]), "logits": np.array([[2.0, -8.0]]), "greedy": np.array([[3, 4]]), **changes}


def test_differences_are_relative_to_the_largest_value(gpu_check):
    found = gpu_check.compare(arrays(losses=np.array([5.0, 4.01])), arrays())
    assert found["losses"] == pytest.approx(0.002)
    assert found["logits"] == 0.0
    assert found["greedy"] is True


@pytest.mark.parametrize(
    ("changes", "agree"),
    [
        ({}, True),
        ({"losses": np.array([5.0, 4.001])}, True),
        ({"losses": np.array([5.0, 4.1])}, False),
        ({"logits": np.array([[2.1, -8.0]])}, False),
        ({"logits": np.array([[np.nan, -8.0]])}, False),
        ({"greedy": np.array([[3, 5]])}, False),
    ],
)
def test_gpu_and_cpu_agree_within_what_float32_explains(gpu_check, changes, agree):
    assert gpu_check.agrees(gpu_check.compare(arrays(**changes), arrays())) is agree


@pytest.mark.parametrize(
    ("changes", "truly"),
    [
        ({}, True),
        ({"least_seconds_per_step": 0.011}, False),
        ({"least_seconds_per_step": 0.001}, True),
        ({"expected_peak_bytes": 1_500_000_000}, False),
        ({"free_bytes": None}, False),
    ],
)
def test_what_is_told_is_compared_with_the_steps(gpu_check, changes, truly):
    told = {"least_seconds_per_step": 0.008, "expected_peak_bytes": 2_200_000_000, "free_bytes": 10**10, **changes}
    training = {"tokens_per_second": {"median": 102_400}, "device_peak_bytes": 2_000_000_000, "told": told}
    assert gpu_check.told_truly(training) is truly
