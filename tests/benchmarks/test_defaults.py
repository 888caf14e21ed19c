"""What benchmarks/defaults.py reads from its runs, and that it goes on where it was stopped."""

import dataclasses
import json
import sys

import pytest

from gpt2simple.settings import FinetuneSettings, TextSettings
from tests.helpers.paths import BENCHMARKS
from tests.helpers.small_runs import write_model_and_text

LOOKS = {0: 3.0, 10: 2.5, 20: 2.6, 30: 2.4, 40: 2.45, 50: 2.41, 60: 2.42, 70: 2.3, 75: 2.2}


@pytest.fixture
def stopping(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import stopping

    return stopping


@pytest.fixture
def defaults(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import defaults

    return defaults


@pytest.mark.parametrize(
    ("every", "patience", "stops_at", "best"),
    [
        (10, 1, 20, (10, 2.5)),
        (10, 2, 50, (30, 2.4)),
        (10, 3, 60, (30, 2.4)),
        (10, 5, None, (70, 2.3)),
        (20, 1, None, (60, 2.42)),
        (40, 2, None, (40, 2.45)),
    ],
)
def test_patience_ends_a_run_after_so_many_looks_without_a_better_one(stopping, every, patience, stops_at, best):
    stop = stopping.stop_of(LOOKS, every, patience)
    assert (stop.step, (stop.best_step, stop.best_bits_per_byte)) == (stops_at, best)


def test_the_table_of_stops_has_a_row_for_each_interval(stopping):
    stops = stopping.stops_of(LOOKS)
    head, _, *rows = stopping.markdown(stops).splitlines()
    assert head == "| evaluated every | patience 1 | patience 2 | patience 3 | patience 5 |"
    assert [row.split(" | ")[0] for row in rows] == ["| 10 steps", "| 20 steps", "| 40 steps", "| 80 steps"]
    assert rows[0].split(" | ")[1:3] == ["2.500 at 10, stops at 20", "2.400 at 30, stops at 50"]
    assert rows[1].endswith("| 2.420 at 60, does not stop |")
    assert stopping.to_json(stops)[0] == {
        "every": 10, "patience": 1, "step": 20, "best_step": 10, "best_bits_per_byte": 2.5,
    }  # fmt: skip


def test_every_case_is_made_of_settings_that_exist_and_differ_from_the_defaults(defaults):
    usual = {f.name: f.default for cls in (FinetuneSettings, TextSettings) for f in dataclasses.fields(cls)}
    cases = defaults.cases_beside(936, 52, 512)
    for case in cases:
        assert all(value != usual[name] for name, value in case.settings.items()), case
        FinetuneSettings(**{name: v for name, v in case.settings.items() if name != "validation_split"})
        assert case.about == defaults.STOPPING or case.about in case.settings
    assert len({case.name for case in cases}) == len(cases)
    shares = [case.settings["validation_split"] for case in cases if "validation_split" in case.settings]
    assert min(shares) > defaults.SHARE_AT_END, "no run learns the end of the text"


def test_parts_of_a_run_end_in_a_look(defaults):
    steps = {case.name: case.settings.get("steps") for case in defaults.cases_beside(936, 52, 512)}
    assert steps["schedule=cosine, steps=468"] == 9 * 52
    assert steps["clip_norm=0.0, steps=208"] == 4 * 52


def test_the_end_of_a_text_is_whole_lines(defaults):
    text = "".join(f"line é {n}\n" for n in range(1000)).encode()
    end = defaults.end_of(text)
    assert text.endswith(b"\n" + end)
    assert 0.039 * len(text) < len(end) <= 0.04 * len(text)


def run(case, seed, steps, looks, **more):
    best = min(looks, key=looks.get)
    return {
        "about": "defaults" if case == "the defaults" else "dropout", "case": case, "seed": seed, "steps": steps,
        "held_out_bits_per_byte": looks[best], "end_bits_per_byte": 2.0, "best_step": int(best),
        "bits_per_byte_at_step": looks, **more,
    }  # fmt: skip


def test_a_run_is_held_against_what_the_defaults_with_its_seed_had_reached_by_then(defaults):
    runs = [
        run("the defaults", 1, 30, {"0": 3.0, "10": 2.5, "20": 2.2, "30": 2.3}),
        run("the defaults", 2, 20, {"0": 3.0, "10": 2.4, "20": 2.6}),
        run("dropout=0.1", 1, 10, {"0": 3.0, "10": 2.7}),
        run("dropout=0.1", 2, 90, {"0": 3.0, "90": 2.1}),
        run("batch_size=4", 1, 10, {"0": 3.0, "10": 2.1}) | {"about": "batch_size"},
    ]
    assert [defaults.by_then(each, runs) for each in runs] == [2.2, 2.4, 2.5, 2.4, None]
    assert defaults.markdown(runs).splitlines()[2:] == [
        "| the defaults | 2.200, 2.400 | 2.200, 2.400 | 2.000, 2.000 | 20, 10 | 30, 20 |",
        "| dropout=0.1 | 2.700, 2.100 | 2.500, 2.400 | 2.000, 2.000 | 10, 90 | 10, 90 |",
        "| batch_size=4 | 2.100 |  | 2.000 | 10 | 10 |",
    ]


def test_a_run_is_measured_kept_and_not_made_again(defaults, tmp_path):
    write_model_and_text(tmp_path, "model")
    case = defaults.Case("dropout", {"dropout": 0.1, "steps": 4, "eval_every": 2})

    def bench():
        return defaults.Bench(tmp_path / "text.txt", str(tmp_path / "model"), tmp_path / "runs", most_runs=1)

    once = bench()
    found = once.result(case, 1)
    assert list(found["bits_per_byte_at_step"]) == ["0", "2", "4"]
    assert found["held_out_bits_per_byte"] == min(found["bits_per_byte_at_step"].values())
    assert (found["steps"], found["reason"], found["settings"]) == (4, "finished", case.settings)
    assert 1.0 < found["end_bits_per_byte"] < 20.0
    assert not any((tmp_path / "runs" / "checkpoint").iterdir())
    with pytest.raises(SystemExit, match="the same call goes on"):
        once.result(case, 2)
    assert bench().result(case, 1) == found


def test_all_seeds_run_what_matters_most_and_the_first_runs_all(defaults, tmp_path):
    class Recorded:
        def result(self, case, seed):
            return {
                "case": case.name, "seed": seed, "steps": 936, "window": 512,
                "bits_per_byte_at_step": {"0": 3.0, "52": 2.5, "104": 2.4},
            }  # fmt: skip

    made = [(found["case"], found["seed"]) for found in defaults.run_all(Recorded(), [1, 2], [])]
    assert len(made) == len(set(made))
    assert made[0] == ("the defaults", 1)
    assert [case for case, seed in made if seed == 2] == ["the defaults", "learning_rate=0.0003"]
    some = [found["case"] for found in defaults.run_all(Recorded(), [1], ["stopping"])]
    assert some == ["the defaults", "eval_every=13, steps=1170"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("A\n<|endoftext|>\nB\n", [], "holds several documents"),
        ("A\n", ["--only", "droput"], "no case is about droput; there are accumulate_gradients, batch_size"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(defaults, tmp_path, monkeypatch, capsys, text, options, message):
    (tmp_path / "text.txt").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["defaults.py", "text.txt", *options])
    with pytest.raises(SystemExit):
        defaults.main()
    assert message in capsys.readouterr().err


def test_the_result_is_written_and_printed(defaults, tmp_path, monkeypatch, capsys):
    runs = [run("the defaults", 1, 20, LOOKS), run("looks", 1, 20, LOOKS) | {"about": defaults.STOPPING}]
    written = {}
    monkeypatch.setattr(defaults, "run_all", lambda *_: runs)
    monkeypatch.setattr(defaults, "finish", lambda name, facts, result: written.update(name=name, **result))
    (tmp_path / "text.txt").write_text("A\nB\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["defaults.py", "text.txt"])
    defaults.main()
    said = capsys.readouterr().out
    assert "| the defaults | 2.200 |" in said
    assert "Seed 1:\n\n| evaluated every |" in said
    assert (written["name"], written["text"], written["text_bytes"]) == ("defaults", "text.txt", 4)
    assert len(json.loads(json.dumps(written["stopping"]))["1"]) == 16
