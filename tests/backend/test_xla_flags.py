"""XLA gets our options where the program has not chosen, those that its release knows, and no trace of it is left."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gpt2simple.backend import xla_flags
from gpt2simple.backend.packages import tensorflow_version
from tests.helpers.paths import ROOT

PROGRAM = """
import os
from gpt2simple.backend import devices
from gpt2simple.backend.tensorflow import tf
devices.start(None)
largest = tf.function(lambda x: tf.reduce_max(x, axis=1), jit_compile=True, autograph=False)
code = largest.experimental_get_compiler_ir(tf.ones([128, 7168]))(stage="optimized_hlo")
print("ynn" in code, os.environ.get("XLA_FLAGS"))
"""
NONE_KEPT = {"GPT2SIMPLE_COMPILE_CACHE": "off"}


def printed(**environ: str) -> str:
    kept = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, env={**kept, **NONE_KEPT, **environ}
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_reductions_are_xlas_own_and_the_environment_is_as_before() -> None:
    assert printed() == "False None"
    assert printed(XLA_FLAGS="--xla_cpu_enable_fast_math=false") == "False --xla_cpu_enable_fast_math=false"


@pytest.mark.skipif(not (tensorflow_version() or "").startswith("2.21."), reason="other releases have no such option")
def test_what_the_program_has_chosen_stays() -> None:
    chosen = "--xla_cpu_experimental_ynn_fusion_type=reduce"
    assert printed(XLA_FLAGS=chosen) == f"True {chosen}"


@pytest.mark.parametrize("release", ["2.18.1", "2.20.0", None])
def test_releases_that_do_not_know_the_option_do_not_get_it(
    release: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(xla_flags, "tensorflow_version", lambda: release)
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with xla_flags.chosen_options():
        assert os.environ["XLA_FLAGS"] == "--xla_gpu_enable_triton_gemm=false"


def test_products_on_a_gpu_are_not_tried_in_dozens_of_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    with xla_flags.chosen_options():
        assert "--xla_gpu_enable_triton_gemm=false" in os.environ["XLA_FLAGS"].split()
    monkeypatch.setenv("XLA_FLAGS", "--xla_gpu_enable_triton_gemm=true")
    with xla_flags.chosen_options():
        assert "--xla_gpu_enable_triton_gemm=false" not in os.environ["XLA_FLAGS"]
