"""BLEU, chrF and ROUGE equal what the libraries' own commands and functions give on the same texts."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from gpt2simple.errors import BackendError
from gpt2simple.evaluation.intervals import bootstrap
from gpt2simple.evaluation.outputs.overlap import (
    bleu_tokenizer,
    overlap_measures,
    require_text_metrics,
    words_of_bleu,
)
from tests.helpers.outputs import pairs


def of_command(folder: Path, outputs: list[str], references: list[str], *options: str) -> dict[str, Any]:
    """What sacrebleu's command prints of files with these lines, by the name of the metric."""
    (folder / "outputs.txt").write_text("\n".join(outputs) + "\n", encoding="utf-8")
    (folder / "references.txt").write_text("\n".join(references) + "\n", encoding="utf-8")
    command = [
        sys.executable, "-m", "sacrebleu", "references.txt", "-i", "outputs.txt", "-m", "bleu", "chrf", "-w", "12",
        "--format", "json", *options,
    ]  # fmt: skip
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=True)
    return {one["name"].replace("2", "").lower(): one for one in json.loads(done.stdout)}


def test_bleu_and_chrf_are_those_of_the_command(tmp_path: Path) -> None:
    outputs, references = pairs(80)
    outputs[7] = ""
    outputs[8:10] = ["  &quot;odd&quot;  spaces and <skipped> marks - ", "巴黎是法国的首都。"]
    found = overlap_measures(outputs, [[one] for one in references])
    printed = of_command(tmp_path, outputs, references)
    for name in ("bleu", "chrf"):
        assert found[name].value == pytest.approx(printed[name]["score"], abs=1e-11)
        assert found[name].signature == printed[name]["signature"]
    assert found["bleu"].signature.startswith("nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:")


def test_different_numbers_of_references_are_those_of_the_command(tmp_path: Path) -> None:
    outputs, references = pairs(40)
    others, _ = pairs(40, seed=5)
    several = [
        [one, other][: 1 + number % 2] for number, (one, other) in enumerate(zip(references, others, strict=True))
    ]
    found = overlap_measures(outputs, several)
    # The command wants as many for each output; one that stands there twice counts once.
    printed = of_command(tmp_path, outputs, [f"{one[0]}\t{one[-1]}" for one in several], "--num-refs", "2")
    for name in ("bleu", "chrf"):
        assert found[name].value == pytest.approx(printed[name]["score"], abs=1e-11)
        assert found[name].signature == printed[name]["signature"].replace("nrefs:2", "nrefs:var")
        assert found[name].signature.startswith("nrefs:var|")


def test_rouge_is_the_mean_of_the_best_reference() -> None:
    outputs, references = pairs(30)
    outputs[3] = ""
    others, _ = pairs(30, seed=5)
    several = [[one, other] for one, other in zip(references, others, strict=True)]
    found = overlap_measures(outputs, several)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=True)
    for name, there in (("rouge1", "rouge1"), ("rouge2", "rouge2"), ("rouge_l", "rougeL")):
        best = [
            max(scorer.score(wanted, output)[there].fmeasure for wanted in right)
            for output, right in zip(outputs, several, strict=True)
        ]
        assert found[name].each.tolist() == best
        assert found[name].value == pytest.approx(np.mean(best), abs=1e-15)
        assert found[name].signature.startswith("rouge-score ")
    stemmed = overlap_measures(["dogs running"], [["dog runs"]])
    assert stemmed["rouge1"].value == 1.0


def test_statistics_sum_to_the_figure_and_each_is_that_of_a_sentence() -> None:
    outputs, references = pairs(50)
    found = overlap_measures(outputs, [[one] for one in references])
    for measure in found.values():
        assert measure.of_sums(measure.statistics.sum(axis=0)) == pytest.approx(measure.value, abs=1e-12)
        assert measure.each.shape == (50,)
    some = [3, 3, 17, 20, 41]
    picked = [outputs[i] for i in some], [[references[i] for i in some]]
    assert found["bleu"].of_sums(found["bleu"].statistics[some].sum(axis=0)) == BLEU().corpus_score(*picked).score
    assert found["chrf"].of_sums(found["chrf"].statistics[some].sum(axis=0)) == CHRF().corpus_score(*picked).score
    assert found["chrf"].each[1] == CHRF().sentence_score(outputs[1], [references[1]]).score
    assert words_of_bleu(overlap_measures(["one, two", ""], [["x"], ["x"]])["bleu"].statistics).tolist() == [3, 0]


CHINESE = ["巴黎是法国的首都。", "我每天早上喝一杯咖啡。", "他在 Google 工作了3年。", "明天会下雨吗？"]
NEAR = ["巴黎是德国的首都。", "我早上喝咖啡。", "他在 Google 工作3年了。", ""]
JAPANESE = ["パリはフランスの首都です。", "毎朝コーヒーを飲みます。", "彼はGoogleで3年働いた。", "明日は雨ですか？"]
NEAR_JAPANESE = ["パリはドイツの首都です。", "コーヒーを飲みます。", "彼は3年Googleで働いた。", "雨"]


@pytest.mark.parametrize(
    ("outputs", "references", "tokenizer"),
    [
        (NEAR, CHINESE, "zh"),
        (NEAR_JAPANESE, JAPANESE, "char"),
        (["ปารีสเป็นเมืองหลวง", "วันนี้ฝนตก"], ["ปารีสเป็นเมืองหลวงของฝรั่งเศส", "พรุ่งนี้ฝนตก"], "char"),
        (["파리는 독일의 수도입니다."], ["파리는 프랑스의 수도입니다."], "13a"),
        (["Paris 巴黎 is a city, the capital"], ["Paris 巴黎 is the capital"], "13a"),
        (["1", "?"], ["", "..."], "13a"),
    ],
)
def test_the_tokenizer_of_bleu_follows_the_script(
    outputs: list[str], references: list[str], tokenizer: str, tmp_path: Path
) -> None:
    assert bleu_tokenizer([[one] for one in references]) == tokenizer
    found = overlap_measures(outputs, [[one] for one in references])["bleu"]
    assert f"|tok:{tokenizer}|" in found.signature
    if not all(references):  # the command takes no empty line at the end of a file
        return
    printed = of_command(tmp_path, outputs, references, "-tok", tokenizer)["bleu"]
    assert found.value == pytest.approx(printed["score"], abs=1e-11)
    assert found.signature == printed["signature"]
    assert overlap_measures(references, [[one] for one in references])["bleu"].value == pytest.approx(100)


def test_rouge_sees_nothing_of_other_scripts() -> None:
    """What the docstring says."""
    right = overlap_measures(["巴黎是法国的首都。"], [["巴黎是法国的首都。"]])
    assert {name: round(measure.value, 9) for name, measure in right.items()} == {
        "bleu": 100.0, "chrf": 100.0, "rouge1": 0.0, "rouge2": 0.0, "rouge_l": 0.0,
    }  # fmt: skip
    near = overlap_measures(["巴黎是法国的首都。"], [["巴黎是德国的首都。"]])
    assert 20 < near["chrf"].value < 90
    assert words_of_bleu(near["bleu"].statistics).tolist() == [9]
    assert overlap_measures(["Столица Париж"], [["Столица Париж"]])["rouge1"].value == 0.0


def test_nothing_is_printed_and_logging_stays_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    handlers = list(logging.getLogger().handlers)
    overlap_measures(["Looks tokenized ."] * 200, [["Looks tokenized ."]] * 200)
    assert logging.getLogger().handlers == handlers
    assert capfd.readouterr() == ("", "")


def test_logging_stays_as_it_was_in_a_fresh_process() -> None:
    script = (
        "import logging\nfrom gpt2simple.evaluation.outputs.overlap import overlap_measures\n"
        "overlap_measures(['one'], [['one']])\nprint(logging.getLogger().handlers)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")


@pytest.mark.parametrize(
    ("absent", "message"),
    [
        (["sacrebleu", "rouge_score"], r"^sacrebleu and rouge-score are not installed, and BLEU, chrF and ROUGE need "
         r"them\. Install them: `pip install sacrebleu rouge-score`\.$"),
        (["rouge_score"], r"^rouge-score is not installed, .* need it\. Install it: `pip install rouge-score`\.$"),
    ],
)  # fmt: skip
def test_without_the_extra_the_error_says_how_to_install_it(
    absent: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_text_metrics()
    for name in [name for name in sys.modules if name.partition(".")[0] in absent]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(BackendError, match=message):
        require_text_metrics()


@pytest.mark.slow
def test_intervals_hold_the_figure_of_all_texts_95_times_of_100() -> None:
    """Samples of 100 from 4,000 outputs, each with its interval, and the figure of all of them."""
    outputs, references = pairs(4000)
    measures = overlap_measures(outputs, [[one] for one in references])
    draw = np.random.default_rng(0)
    rows = draw.integers(0, 4000, (300, 100))  # [samples, outputs]
    for name, measure in measures.items():
        of_sums = measure.of_sums if name in ("bleu", "chrf") else _mean_of_100

        def figure(sums: np.ndarray, of_sums: Any = of_sums) -> np.ndarray:
            return np.array([of_sums(sums)])

        found = [
            bootstrap(measure.statistics[row], figure, resamples=300, seed=number)[0] for number, row in enumerate(rows)
        ]
        inside = sum(interval.low <= measure.value <= interval.high for interval in found)
        assert 0.90 <= inside / 300 <= 0.985, name


def _mean_of_100(sums: np.ndarray) -> float:
    return float(sums[0] / 100)
