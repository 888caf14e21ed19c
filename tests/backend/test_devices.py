"""What follows from the GPUs that TensorFlow sees, with GPUs that are only told of: none is needed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gpt2simple.api.session import Session
from gpt2simple.backend import devices, precision
from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import BackendError
from gpt2simple.training.trainer import Trainer
from tests.helpers.small_runs import QUICK, write_model_and_text

H200 = {"device_name": "NVIDIA H200", "compute_capability": (9, 0)}
T4 = {"device_name": "Tesla T4", "compute_capability": (7, 5)}
P100 = {"device_name": "Tesla P100", "compute_capability": (6, 0)}

TellGpus = Callable[..., "Told"]


@dataclass
class Told:
    """What was asked of TensorFlow."""

    grown: list[str] = field(default_factory=list)  # GPUs whose memory is to grow
    threads: list[int] = field(default_factory=list)


@pytest.fixture
def tell_gpus(monkeypatch: pytest.MonkeyPatch) -> TellGpus:
    """A function that makes TensorFlow tell of these GPUs, in a process that has not started it."""

    def tell(*gpus: dict[str, Any]) -> Told:
        told = Told()
        names = [f"GPU:{number}" for number in range(len(gpus))]
        details = dict(zip(names, gpus, strict=True))
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind=None: names if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details.__getitem__)
        monkeypatch.setattr(
            tf.config.experimental, "set_memory_growth", lambda gpu, on: told.grown.append(gpu) if on else None
        )
        monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", told.threads.append)
        monkeypatch.setattr(devices, "_configured_threads", "not started")
        return told

    return tell


@pytest.mark.parametrize(
    ("gpus", "name"),
    [
        ([], "CPU, no GPU found"),
        ([H200], "NVIDIA H200"),
        ([T4, H200], "Tesla T4 (the first of 2)"),
        ([{}], "GPU"),
    ],
)
def test_the_device_is_named(tell_gpus: TellGpus, gpus: list[dict[str, Any]], name: str) -> None:
    tell_gpus(*gpus)
    assert devices.device_name() == name
    assert devices.start(None) == name
    assert devices.has_gpu() is bool(gpus)


def test_a_gpu_compiles_the_whole_step_and_a_cpu_its_parts(tell_gpus: TellGpus) -> None:
    tell_gpus(P100)
    assert devices.compiles_whole_step()
    tell_gpus()
    assert not devices.compiles_whole_step()


@pytest.mark.parametrize(
    ("gpus", "training", "reason"),
    [
        ([H200], "bfloat16", "a GPU of compute capability 9.0 has bfloat16 units"),
        ([T4, H200], "float16", "a GPU of compute capability 7.5 has float16 units; the loss is scaled"),
        ([P100], "float32", "a GPU of compute capability 6.0 has no units for 16 bits"),
        ([{}], "float32", "the GPU does not report its capability"),
    ],
)
def test_the_first_gpu_decides_the_precision(
    tell_gpus: TellGpus, gpus: list[dict[str, Any]], training: str, reason: str
) -> None:
    tell_gpus(*gpus)
    assert precision.choose_precision("auto") == precision.Precision(training, training, reason)
    assert precision.choose_precision("int8") == precision.Precision(training, "int8", reason)
    assert precision.choose_precision("float32").training == "float32"


def test_the_memory_of_every_gpu_grows_as_needed_and_threads_are_settled_once(tell_gpus: TellGpus) -> None:
    told = tell_gpus(T4, H200)
    devices.start(3)
    assert (told.grown, told.threads) == (["GPU:0", "GPU:1"], [3])
    devices.start(None)
    devices.start(3)
    assert (told.grown, told.threads) == (["GPU:0", "GPU:1"], [3]), "settled once in a process"
    with pytest.raises(BackendError, match=r"threads is 4, but TensorFlow was started in this process with 3, and "):
        devices.start(4)


def test_without_threads_all_cores_are_left_to_tensorflow(tell_gpus: TellGpus) -> None:
    told = tell_gpus(H200)
    devices.start(None)
    assert told.threads == []
    with pytest.raises(BackendError, match=r"was started in this process with all cores, .* Leave threads out, or res"):
        devices.start(4)


@pytest.mark.parametrize(
    ("settled", "variable", "used"),
    [(3, None, "3"), (0, None, "5"), (0, "7", "7"), (3, "7", "3"), (0, "many", "5"), (0, "0", "5")],
)
def test_the_threads_in_use_are_those_settled_else_the_environments_else_all_cores(
    monkeypatch: pytest.MonkeyPatch, settled: int, variable: str | None, used: str
) -> None:
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda process: {1, 2, 3, 4, 6}, raising=False)
    for name, other in (("intra", "inter"), ("inter", "intra")):
        monkeypatch.setattr(tf.config.threading, f"get_{name}_op_parallelism_threads", lambda: settled)
        monkeypatch.setattr(tf.config.threading, f"get_{other}_op_parallelism_threads", lambda: 1)
        monkeypatch.delenv(f"TF_NUM_{other.upper()}OP_THREADS", raising=False)
        if variable is not None:
            monkeypatch.setenv(f"TF_NUM_{name.upper()}OP_THREADS", variable)
        assert devices.thread_counts() == {f"{name}_op_threads": used, f"{other}_op_threads": "1"}


def test_a_tensorflow_that_runs_already_is_used_as_it_is_but_not_with_other_threads(
    tell_gpus: TellGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise RuntimeError("Physical devices cannot be modified after being initialized")

    for threads in (None, 2):
        tell_gpus(H200)
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
        monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", refuse)
        if threads is None:
            assert devices.start(None) == "NVIDIA H200"
            continue
        with pytest.raises(
            BackendError,
            match=r"threads is 2, but TensorFlow is running in this process already and cannot change\. Call "
            r"gpt2simple\.start_session\(threads=\.\.\.\) before anything else uses TensorFlow, or leave it out\.",
        ):
            devices.start(threads)


def test_a_gpu_whose_memory_the_program_has_limited_is_taken_as_it_is(
    tell_gpus: TellGpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell_gpus(H200)

    def refuse(*_: Any) -> None:
        raise ValueError("Cannot set memory growth on device when virtual devices configured")

    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", refuse)
    assert devices.start(None) == "NVIDIA H200"


def test_a_run_on_a_gpu_compiles_the_step_scales_the_loss_and_tells_of_the_gpus_memory_and_time(
    tell_gpus: TellGpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, messages: list[str]
) -> None:
    """Told of a T4, a whole run trains as it would there, on whatever computes here."""
    tell_gpus(T4)
    monkeypatch.setattr("gpt2simple.backend.memory.device_memory_limit", lambda device: 100_000_000)
    monkeypatch.setattr(tf.config.experimental, "get_memory_info", lambda device: {"current": 0, "peak": 0})
    monkeypatch.setattr("gpt2simple.backend.speed.product_rate", lambda dtype: 1e12)
    trainers: list[Trainer] = []
    fit = Trainer.fit

    def watched_fit(trainer: Trainer, *arguments: Any, **options: Any) -> Any:
        trainers.append(trainer)
        return fit(trainer, *arguments, **options)

    monkeypatch.setattr(Trainer, "fit", watched_fit)
    write_model_and_text(tmp_path)
    with Session("small", model_dir=tmp_path, checkpoint_dir=tmp_path) as session:
        result = session.finetune(tmp_path / "text.txt", steps=2, cache_dir=str(tmp_path / "cache"), **QUICK)
    assert messages[0] == (
        "Computing on Tesla T4, in float16: a GPU of compute capability 7.5 has float16 units; the loss is scaled."
    )
    assert any("0.1 GB of the GPU are free; it may fail" in message for message in messages)
    assert any(message.startswith("2 steps") and "take at least" in message for message in messages)
    assert trainers[0].jit_compile
    assert trainers[0].scales_loss
    assert result.steps == 2
    recorded = json.loads((result.run_dir / "run.json").read_text())["environment"]
    assert (recorded["device"], recorded["precision"]) == ("Tesla T4", "float16")
    assert recorded["gradient_checkpointing"] == "on"
