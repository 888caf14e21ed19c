"""What a user sees of a run: lines, the bar, and when held-out loss stops falling."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gpt2simple.runs.curves import HeldOutTrend
from gpt2simple.runs.metrics import MetricsFiles
from gpt2simple.runs.records import ClassifierFigures, EpochRecord, EvaluationRecord, RunPlan
from gpt2simple.training.callbacks import progress
from gpt2simple.training.callbacks.progress import Progress
from tests.helpers.records import end, evaluation, overfitted_run, plan, sample, step


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def half_seconds() -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += 0.5


def started(stream: io.StringIO, run: RunPlan) -> Progress:
    progress = Progress(stream, clock=half_seconds().__next__)
    progress.on_start(run)
    return progress


def test_lines_come_every_print_every_steps_and_at_the_last_one(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path, last_step=25))
    for number in range(1, 26):
        progress.on_step(step(number))
    shown = [line for line in stream.getvalue().splitlines() if line.startswith("step ")]
    assert [line.split()[1] for line in shown] == ["10/25", "20/25", "25/25"]


def test_a_line_shows_losses_speed_and_time_left(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    progress.on_evaluation(evaluation(0, 3.9, is_best=True))
    for number in range(1, 11):
        progress.on_step(step(number, loss=3.5, smoothed=3.6))
    assert stream.getvalue().splitlines()[-1] == (
        "step 10/100  epoch 0.25  loss 3.500  smoothed 3.600  held-out 3.900  512 tokens/s  00:45 left"
    )


def test_a_run_without_a_known_end_says_until_when_and_promises_no_time(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path, last_step=None, print_every=1))
    progress.on_step(step(1))
    progress.on_step(step(2))
    first, _, last = stream.getvalue().splitlines()
    assert first.endswith("(tiny): from step 1 until held-out loss stops improving")
    assert last == "step 2  epoch 0.05  loss 3.500  smoothed 3.500  512 tokens/s"


def test_the_start_names_run_model_length_and_where_it_goes_on(tmp_path: Path) -> None:
    run_dir = tmp_path / "run7"
    assert progress.start_line(plan(run_dir)) == "run7 (tiny): steps 1 to 100 (2.5 epochs)"
    assert progress.start_line(plan(run_dir, first_step=40)) == "run7 (tiny): steps 41 to 100 (2.5 epochs)"


def test_a_look_at_the_held_out_text_is_told_beside_the_best_one(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    progress.on_evaluation(evaluation(10, 3.0, is_best=True))
    progress.on_evaluation(evaluation(20, 3.1, is_best=False))
    first, second = stream.getvalue().splitlines()[1:]
    assert first == ("step 10: held-out loss 3.000 nats/token, perplexity 20.09, 1.082 bits/byte (the best so far)")
    assert second.endswith("(best: 3.000 at step 10)")


def classified(number: int, correct: int, class_nats: float, *, is_best: bool) -> EvaluationRecord:
    """An evaluation of a classifier, of 20 texts, the best by accuracy."""
    figures = ClassifierFigures(class_nats=class_nats, correct=correct, texts=20, by_accuracy=True)
    return replace(evaluation(number, 1.0, is_best=is_best), figures=figures)


def test_a_classifier_is_compared_with_the_best_one_by_the_chosen_metric(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    progress.on_evaluation(classified(10, 18, 10.0, is_best=True))
    for number in (20, 30, 40):
        progress.on_evaluation(classified(number, 17, 5.0, is_best=False))
    progress.on_end(end(40, "patience"))
    lines = stream.getvalue().splitlines()
    assert lines[2] == ("step 20: held-out loss 0.250 nats/text, accuracy 85.0% (17 of 20) (best: 90.0% at step 10)")
    assert "Held-out accuracy has not improved since step 10 (90.0%)" in stream.getvalue()
    assert lines[-1] == (
        "Stopped at step 40: held-out accuracy no longer improves. Best held-out accuracy: 90.0% at step 10."
    )


def test_the_advice_after_a_divergence_names_the_function_of_the_task(tmp_path: Path) -> None:
    run = replace(plan(tmp_path), function="finetune_classifier")
    line = progress.stopped_improving_line("diverged", classified(20, 18, 1.0, is_best=True), run)
    assert line.endswith(': finetune_classifier(..., restore_from="best", learning_rate=...).')


def told_of_overfitting(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("Held-out loss has not improved")]


def test_a_run_that_goes_to_its_end_says_once_when_held_out_loss_stopped_falling(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path, last_step=600))
    steps, evaluations = overfitted_run()
    for record in steps:
        progress.on_step(record)
        for held_out in (each for each in evaluations if each.step == record.step):
            progress.on_evaluation(held_out)
    assert told_of_overfitting(stream.getvalue()) == [
        "Held-out loss has not improved since step 200 (2.726); since then the model has been memorising the text. "
        "Training continues to step 600; step 200 is kept as the best."
    ]


def test_a_run_that_diverges_says_so_and_how_to_continue(tmp_path: Path) -> None:
    for last_step in (100, None):
        stream = io.StringIO()
        progress = started(stream, plan(tmp_path, last_step=last_step))
        for number in range(1, 81):
            progress.on_step(step(number, 5.0 - 0.05 * number if number <= 20 else 6.0))
            if number % 20 == 0:
                progress.on_evaluation(evaluation(number, 4.0 if number == 20 else 6.1, is_best=number == 20))
        assert told_of_overfitting(stream.getvalue()) == [
            "Held-out loss has not improved since step 20 (4.000): training diverges. Interrupt it and lower the "
            'learning rate: finetune(..., restore_from="best", learning_rate=...).'
        ]


def test_a_run_that_only_stopped_improving_is_not_said_to_memorise(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    for number in range(1, 81):
        progress.on_step(step(number, 5.0 - 0.01 * number))
        if number % 20 == 0:
            progress.on_evaluation(evaluation(number, 4.0 if number == 20 else 4.01, is_best=number == 20))
    assert told_of_overfitting(stream.getvalue()) == [
        "Held-out loss has not improved since step 20 (4.000). Training continues to step 100; step 20 is kept as the "
        "best."
    ]


def test_a_run_that_never_beats_the_model_it_started_from_is_told_so(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    for number in range(4):
        progress.on_evaluation(evaluation(number, 3.0 + number, is_best=number == 0))
    assert stream.getvalue().splitlines()[-1] == (
        "Held-out loss has not improved on its value before training (3.000): the model is memorising the text, or "
        "learning_rate is too high."
    )


def test_a_run_that_stops_by_itself_does_not_say_that_it_goes_on(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path, last_step=None))
    for record in overfitted_run()[1]:
        progress.on_evaluation(record)
    assert told_of_overfitting(stream.getvalue()) == []


def test_a_resumed_run_remembers_its_best_step(tmp_path: Path) -> None:
    files = MetricsFiles(tmp_path)
    files.on_start(plan(tmp_path))
    files.on_evaluation(evaluation(10, 3.0, is_best=True))
    files.on_evaluation(evaluation(90, 2.0, is_best=True))  # after the checkpoint that the run resumes from
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path, first_step=40))
    progress.on_evaluation(evaluation(50, 3.2, is_best=False))
    assert stream.getvalue().splitlines()[-1].endswith("(best: 3.000 at step 10)")


def test_a_long_sample_is_cut_and_its_file_named(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    progress.on_sample(sample(100, "HAMLET\nTo be.\n" * 40))
    lines = stream.getvalue().splitlines()[1:]
    assert lines[0] == "--- sample at step 100 ---"
    assert lines[1:10] == [*["HAMLET", "To be."] * 4, "HAMLET"]
    assert lines[10:] == ["[... full sample: samples/step-000100.txt]", "---"]


def test_a_sample_cannot_command_the_terminal() -> None:
    shown = progress.sample_lines(sample(1, "red \x1b[31malert\x07, caf\u00e9"), "samples/step-000001.txt")
    assert shown == "--- sample at step 1 ---\nred \\x1b[31malert\\x07, caf\u00e9\n---"


def test_a_console_that_lacks_a_letter_gets_a_question_mark(tmp_path: Path) -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii", newline="\n")
    progress = Progress(stream)
    progress.on_message("na\u00efve")
    assert raw.getvalue() == b"na?ve\n"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("finished", "Finished at step 9. Best held-out loss: 3.000 at step 5."),
        ("patience", "Stopped at step 9: held-out loss no longer improves. Best held-out loss: 3.000 at step 5."),
        ("callback", "Stopped by a callback at step 9. Best held-out loss: 3.000 at step 5."),
        (
            "interrupted",
            "Interrupted after step 9. Best held-out loss: 3.000 at step 5. Run finetune() again to go on.",
        ),
        (
            "failed",
            "Training failed after step 9. Best held-out loss: 3.000 at step 5. Run finetune() again to go on.",
        ),
        ("bored", "Ended at step 9 (bored). Best held-out loss: 3.000 at step 5. Run finetune() again to go on."),
    ],
)
def test_the_end_says_how_and_how_to_go_on(reason: str, expected: str) -> None:
    assert progress.end_line(end(9, reason), HeldOutTrend([evaluation(5, 3.0, is_best=True)])) == expected


def test_an_epoch_is_told(tmp_path: Path) -> None:
    stream = io.StringIO()
    started(stream, plan(tmp_path)).on_epoch(EpochRecord(step=40, epoch=1, train_loss=3.25))
    assert stream.getvalue().splitlines()[-1] == "epoch 1 ended at step 40: mean training loss 3.250 nats/token"


@pytest.mark.parametrize("last_step", [100, None])
def test_a_terminal_gets_a_bar_with_the_same_numbers_and_lines_between(tmp_path: Path, last_step: int | None) -> None:
    stream = Terminal()
    progress = started(stream, plan(tmp_path, first_step=40, last_step=last_step))
    progress.on_evaluation(evaluation(40, 3.9, is_best=True))
    progress.on_step(step(41, loss=3.5, smoothed=3.6))
    progress.on_message("a notice")
    progress.on_end(end(41))
    shown = re.split(r"[\r\n]", stream.getvalue())
    bars = [line for line in shown if "smoothed 3.60" in line]
    assert bars, shown
    assert "held-out 3.90" in bars[-1]
    assert "512 tokens/s" in bars[-1]
    assert len(bars[-1]) - 9 <= 80  # of ten characters of bar, nine can go
    assert ("41/100" if last_step else "step 41") in bars[-1]
    assert "a notice" in shown
    assert shown[-2].startswith("Finished at step 41.")


def test_a_stream_that_is_no_terminal_gets_no_bar(tmp_path: Path) -> None:
    stream = io.StringIO()
    progress = started(stream, plan(tmp_path))
    progress.on_step(step(10))
    progress.on_end(end(10))
    assert "\r" not in stream.getvalue()


def test_a_program_without_a_console_trains_in_silence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", None)
    progress = Progress()
    progress.on_start(plan(tmp_path))
    progress.on_step(step(10))
    progress.on_end(end(10))
    assert progress._bar is None
