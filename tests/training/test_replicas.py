"""Several replicas train as one does: two virtual devices of a process, and two processes on this machine."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gpt2simple.gpt2.network.xla import shapes_of
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.training.compiled import training_step
from tests.helpers.pair_runs import pairs
from tests.helpers.replicated_runs import Ended, call, furthest, one_process, several_processes
from tests.helpers.small_runs import ONE_LAYER, differing, last_state, write_model_and_text
from tests.helpers.training import batch_of, small_trainer, stacked

# What Adam makes of the last digits of a sum: a gradient near zero changes its sign, and the weight its direction.
WEIGHTS = 5e-5
LOSS = 1e-4

HOW: dict[str, Any] = {
    "learning_rate": 1e-4, "eval_every": 3, "sample_every": 0, "seed": 5, "steps": 7, "dropout": 0.1,
}  # fmt: skip
LONG = {**HOW, "steps": 50, "eval_every": 10, "sample_every": 25}

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("text.txt", {"batch_size": 2}),
    "rows that do not divide, accumulated": ("text.txt", {"batch_size": 3, "accumulate_gradients": 3}),
    "micro-batches that divide": ("text.txt", {"batch_size": 2, "accumulate_gradients": 2}),
    "one row": ("text.txt", {"batch_size": 1}),
    "LoRA": ("text.txt", {"batch_size": 2, "lora_rank": 2, "lora_dropout": 0.1}),
    # Packed rows that are dealt have masks of their own, so that dropout is left out.
    "pairs": ("pairs.jsonl", {"batch_size": 5, "dropout": 0.0, "sample_length": 4}),
    "pairs accumulated": ("pairs.jsonl", {"batch_size": 5, "accumulate_gradients": 2, "sample_length": 4}),
    "classes": ("labels.csv", {"batch_size": 5, "dropout": 0.0, "function": "finetune_classifier"}),
}


def filled(folder: Path) -> Path:
    """The folder, with a model, a text, pairs of unequal length and labelled texts."""
    write_model_and_text(folder)
    draw = random.Random(0)
    lines = [
        json.dumps({"prompt": prompt + "x" * draw.randrange(9), "completion": completion + "y" * draw.randrange(5)})
        for prompt, completion in pairs()
    ]
    (folder / "pairs.jsonl").write_text("\n".join(lines), encoding="utf-8")
    rows = [f"{'uv'[n % 2]} {'word ' * draw.randrange(1, 4)}{n},{'ab'[n % 2]}" for n in range(120)]
    (folder / "labels.csv").write_text("\n".join(["text,label", *rows]), encoding="utf-8")
    return folder


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Such a folder, as the current one."""
    monkeypatch.chdir(tmp_path)
    return filled(tmp_path)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Ended]:
    """Such a folder, in which one process has trained alone."""
    folder = filled(tmp_path_factory.mktemp("alone"))
    return folder, one_process(folder, of_case("text", "one", HOW))


def of_case(case: str, run_name: str, settings: dict[str, Any], **more: Any) -> dict[str, Any]:
    dataset, own = CASES[case]
    found = {**settings, **own, **more}
    if own.get("function") == "finetune_classifier":
        found = {name: value for name, value in found.items() if not name.startswith("sample_")}
    return call(dataset, run_name, **found)


def assert_as_one(one: Ended, others: list[Ended], run: str, steps: int) -> None:
    """The runs one and ``run`` agree, and all workers hold the same weights, bit for bit."""
    assert [each.code for each in (one, *others)] == [0] * (1 + len(others)), [each.messages for each in others]
    assert [each.results[0]["steps"] for each in others] == [steps] * len(others)
    ours, theirs = (read_metrics(Path("checkpoint", name)) for name in (run, "one"))
    assert [record.tokens for record in ours.steps] == [record.tokens for record in theirs.steps]
    assert len(ours.steps) == steps
    assert len(ours.evaluations) == len(theirs.evaluations) > 0
    for found, wanted in [
        *zip(ours.steps, theirs.steps, strict=True),
        *zip(ours.evaluations, theirs.evaluations, strict=True),
    ]:
        assert found.loss == pytest.approx(wanted.loss, abs=LOSS)
    assert furthest(one.weights[0], others[0].weights[0]) < WEIGHTS
    for other in others[1:]:
        assert furthest(others[0].weights[0], other.weights[0]) == 0.0
        assert {**other.results[0], "seconds": 0} == {**others[0].results[0], "seconds": 0}


@pytest.mark.slow
def test_two_devices_train_as_one(alone: tuple[Path, Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, one = alone
    monkeypatch.chdir(folder)
    assert_as_one(one, [one_process(folder, of_case("text", "devices", HOW), devices=2)], "devices", 7)


def test_two_processes_train_as_one(alone: tuple[Path, Ended], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, one = alone
    monkeypatch.chdir(folder)
    assert_as_one(one, several_processes(folder, of_case("text", "processes", HOW)), "processes", 7)


def test_a_process_alone_computes_nothing_for_others() -> None:
    """No sum over replicas is in its step, and none of what they need."""
    trainer, variables = small_trainer(config=ONE_LAYER)
    data = stacked([batch_of(0)])
    trainer.make_train_function()(iter([data]))
    recorded = training_step(trainer._recipe, shapes_of(variables, data[0]))._concrete.graph.as_graph_def()
    nodes = [*recorded.node, *(node for function in recorded.library.function for node in function.node_def)]
    assert len(nodes) > 500
    assert [node.op for node in nodes if "Collective" in node.op] == []


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("processes", [False, True], ids=["devices", "processes"])
def test_every_kind_of_run(place: Path, case: str, processes: bool) -> None:
    one, wanted = one_process(place, of_case(case, "one", LONG)), of_case(case, "two", LONG)
    others = several_processes(place, wanted) if processes else [one_process(place, wanted, devices=2)]
    assert_as_one(one, others, "two", 50)


@pytest.mark.slow
def test_three_processes_share_what_does_not_divide(place: Path) -> None:
    one = one_process(place, of_case("text", "one", HOW, batch_size=4))
    assert_as_one(one, several_processes(place, of_case("text", "two", HOW, batch_size=4), workers=3), "two", 7)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["callback", "SIGTERM", "SIGINT"])
@pytest.mark.parametrize("worker", [0, 1])
def test_a_stop_on_one_stops_all_after_the_same_step_and_the_run_goes_on_as_if_it_had_not(
    place: Path, how: str, worker: int
) -> None:
    straight = several_processes(place, of_case("text", "straight", HOW))
    assert [each.code for each in straight] == [0, 0]
    stopped = several_processes(place, of_case("text", "stopped", HOW, stop=(worker, 4, how)))
    assert stopped[worker].code == (-15 if how == "SIGTERM" else 0), stopped[worker].messages
    assert stopped[1 - worker].code == 0, stopped[1 - worker].messages
    told = stopped[1 - worker].results[0]
    assert (told["steps"], told["reason"]) == (4, "callback" if how == "callback" else "interrupted")
    run = RunFolder(Path("checkpoint/stopped"))
    assert run.latest().step == 4  # type: ignore[union-attr]
    again = several_processes(place, of_case("text", "stopped", HOW))
    assert [each.results[0]["steps"] for each in again] == [7, 7]
    assert differing(last_state(Path("checkpoint/straight")), last_state(Path("checkpoint/stopped"))) == []
    np.testing.assert_equal(again[1].weights[0], straight[1].weights[0])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"learning_rate": 1e-3}, "another learning_rate than the chief"),
        ({"dataset": "other.txt"}, "another text than the chief"),
        ({"batch_size": 0}, "has ended with SettingsError: batch_size is 0"),
    ],
)
def test_a_worker_that_is_told_something_else_is_named_on_all(place: Path, other: Any, message: str) -> None:
    (place / "other.txt").write_text((place / "text.txt").read_text(encoding="utf-8") + "And more.\n", encoding="utf-8")
    wanted, differs = of_case("text", "two", HOW), of_case("text", "two", HOW)
    for name, value in other.items():
        (differs if name in differs else differs["settings"])[name] = value
    chief, worker = several_processes(place, wanted, worker_1=[differs])
    assert chief.code != 0
    assert worker.code != 0
    assert "worker 1 (127.0.0.1:" in chief.messages
    assert message in chief.messages
    assert not Path("checkpoint/two").exists()
