"""Fine-tuning on pairs, answering prompts and evaluating what is written, through the public functions."""

from __future__ import annotations

import json
import random
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

import gpt2simple
from gpt2simple.api.pairs import conversation_of
from gpt2simple.backend.tensorflow import tf
from gpt2simple.cli.group import cli
from gpt2simple.data.batches import PackedShape
from gpt2simple.data.packing import PackedBatches
from gpt2simple.data.pair_encoding import encode_pairs, pair_reader
from gpt2simple.data.pairs import read_pairs
from gpt2simple.data.prompt_template import alpaca_template
from gpt2simple.errors import DataError, RunError, SettingsError
from gpt2simple.gpt2.container import named_variables
from gpt2simple.gpt2.network import attention
from gpt2simple.settings import PairTextSettings
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer
from gpt2simple.training.step import ModelStep
from gpt2simple.training.task import LanguageModeling
from tests.helpers.network import largest_relative_difference, model_of, plain_loss_and_gradients
from tests.helpers.pair_runs import NAMES, RUN, SETTINGS, pairs, write_pair_run
from tests.helpers.reference import printed_by
from tests.helpers.small_runs import work_in, write_text


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, and a run that was trained on pairs.jsonl."""
    folder = tmp_path_factory.mktemp("pairs")
    write_text(folder / "text.txt")
    with pytest.MonkeyPatch.context() as patch:
        work_in(patch, folder)
        write_pair_run(folder)
        lines = (folder / "pairs.jsonl").read_text(encoding="utf-8").splitlines()
        (folder / "other.jsonl").write_text("\n".join(lines[:9]), encoding="utf-8")
        gpt2simple.finetune("text.txt", model_name="small", run_name="plain", steps=1, seed=0, window=16)
    return folder


@pytest.fixture(autouse=True)
def _inside(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work_in(monkeypatch, place)


def test_a_model_learns_to_answer_prompts_that_it_never_saw() -> None:
    new = pairs(40, seed=1)
    answers = gpt2simple.answer([prompt for prompt, _ in new], run_name=RUN, length=4)
    assert np.mean([answer == completion for answer, (_, completion) in zip(answers, new, strict=True)]) > 0.9
    assert gpt2simple.answer("c7", run_name=RUN, length=4) == ["d"]


def test_a_conversation_is_a_prompt_too() -> None:
    conversation = [{"role": "user", "content": "c7"}]
    assert gpt2simple.answer([conversation], run_name=RUN, length=4) == ["d"]


def test_an_instruction_is_a_prompt_with_its_input_only_where_the_template_has_a_place_for_that() -> None:
    instruction = {"instruction": "c7", "input": "Oui"}
    assert gpt2simple.answer({"instruction": "c7"}, run_name=RUN, length=4) == ["d"]
    with pytest.raises(
        SettingsError,
        match=r"trained on instructions with an input\. Give one text that holds both\.$",
    ):
        gpt2simple.answer(instruction, run_name=RUN)
    template = alpaca_template()
    written = template.prompt_of(conversation_of(instruction, template))
    assert written.endswith("### Instruction:\nc7\n\n### Input:\nOui\n\n### Response:\n")


def test_generate_gives_the_completion_alone(capfd: pytest.CaptureFixture[str]) -> None:
    texts = gpt2simple.generate(prompt="c7", run_name=RUN, length=4, temperature=0, return_as_list=True)
    assert texts == ["d"]
    gpt2simple.generate(prompt=["c7", "a1"], run_name=RUN, length=4, temperature=0, sample_delim="|")
    assert capfd.readouterr().out.replace("\n", "") == "d|b|"


def test_what_was_found_is_said_and_recorded(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="said", steps=1, **SETTINGS)
    assert "Pairs: 160 pairs in the format prompt-completion; the loss is on 256 tokens of completions" in caplog.text
    assert "Copies: no pair occurs twice; no held-out prompt is in training." in caplog.text
    recorded = json.loads(Path("checkpoint/said/run.json").read_text(encoding="utf-8"))
    assert recorded["task"] == "pairs"
    assert recorded["data"]["summary"]["template"]["assistant"] == "="
    template = Path("checkpoint/said/chat_template.jinja").read_bytes()
    with gpt2simple.start_session(run_name="said") as session:
        assert (session.save("saved") / "chat_template.jinja").read_bytes() == template
    with gpt2simple.start_session(run_name="plain") as session:
        assert not (session.save("saved-plain") / "chat_template.jinja").exists()


def test_a_stopped_run_equals_a_straight_one_bit_for_bit() -> None:
    how = {**SETTINGS, "dropout": 0.1, "accumulate_gradients": 2, "batch_size": 4, "eval_every": 3}
    gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="straight", steps=8, **how)
    gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="stopped", steps=5, **how)
    gpt2simple.finetune("pairs.jsonl", run_name="stopped", steps=8)  # its own settings for the rest
    names = ("checkpoint/straight/step-000008", "checkpoint/stopped/step-000008")
    for file in ("model.safetensors", "optimizer.safetensors"):
        assert len({Path(name, file).read_bytes() for name in names}) == 1


def test_evaluation_says_how_good_the_outputs_are() -> None:
    result: Any = gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="test")
    assert result.tokens == 2 * 16  # a letter and the end
    assert result.loss < 0.3
    assert result.perplexity == pytest.approx(np.exp(result.loss))
    assert result.prompt_loss > 1.0  # of digits that nobody can know, and which were not learned
    assert result.outputs.exact_match.value > 0.9
    values = json.loads(json.dumps(result.to_json()))
    assert values["loss"] == result.loss
    assert "exact match" in result.summary()
    everything: Any = gpt2simple.evaluate("other.jsonl", run_name=RUN)
    assert everything.tokens == 18
    assert everything.outputs.part == "all of other.jsonl"


def test_the_outputs_are_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "outputs.jsonl"
    for _ in range(2):  # the second replaces the first
        with caplog.at_level("INFO"):
            result: Any = gpt2simple.evaluate("other.jsonl", run_name=RUN, predictions=path)
    assert f"The outputs are in {path}." in caplog.text
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    prompts, completions = zip(*pairs()[:9], strict=True)
    assert [line["prompt"] for line in lines] == list(prompts)
    assert [line["references"] for line in lines] == [[completion] for completion in completions]
    assert [(line["output"], line["exact_match"]) for line in lines] == [
        (one.output, one.exact_match) for one in result.outputs.scored
    ]
    done = CliRunner().invoke(cli, ["evaluate", "other.jsonl", "--run-name", RUN, "--predictions", str(path)])
    assert done.exit_code == 0, done.output
    assert [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] == lines


@pytest.mark.parametrize("one_a_line", [True, False])
def test_completions_to_one_prompt_are_references_of_one_output(one_a_line: bool, tmp_path: Path) -> None:
    """As the libraries themselves count several references."""
    draw = random.Random(0)
    wanted = {
        prompt: [right, *(" ".join(draw.choices("abcdefgh", k=6)) for _ in range(draw.randrange(3)))]
        for prompt, right in pairs(40, seed=3)
    }
    if one_a_line:  # in any order: references need not stand together
        records: list[Any] = [{"prompt": p, "completion": one} for p, found in wanted.items() for one in found]
        records += records[:5]  # a copy is no further reference
        draw.shuffle(records)
    else:
        records = [{"prompt": prompt, "references": found} for prompt, found in wanted.items()]
    path = tmp_path / "several.jsonl"
    path.write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    result: Any = gpt2simple.evaluate(path, run_name=RUN)
    figures = result.outputs
    prompts = [one.prompt for one in figures.scored]
    assert sorted(prompts) == sorted(wanted)
    assert figures.references == sum(map(len, wanted.values()))
    assert result.tokens == sum(len(record.get("completion", "")) + 1 for record in records) or not one_a_line
    outputs = gpt2simple.answer(prompts, run_name=RUN, length=result.length)
    assert [one.output for one in figures.scored] == outputs
    references = [wanted[prompt] for prompt in prompts]
    streams = list(zip_longest(*references))
    assert figures.bleu.value == pytest.approx(BLEU().corpus_score(outputs, streams).score, abs=1e-11)
    assert figures.chrf.value == pytest.approx(CHRF().corpus_score(outputs, streams).score, abs=1e-11)
    scorer = RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    best = [scorer.score_multi(found, output) for found, output in zip(references, outputs, strict=True)]
    for figure, name in ((figures.rouge1, "rouge1"), (figures.rouge_l, "rougeL")):
        assert figure.value == pytest.approx(np.mean([one[name].fmeasure for one in best]), abs=1e-12)
    assert figures.exact_match.value == np.mean(
        [output in found for output, found in zip(outputs, references, strict=True)]
    )
    assert "beside" in figures.headline()


def test_a_conversation_may_begin_with_the_assistant() -> None:
    data = [
        {
            "conversations": [
                {"from": "gpt", "value": "a"},
                {"from": "human", "value": f"b{n}"},
                {"from": "gpt", "value": "c"},
            ]
        }
        for n in range(12)
    ]
    gpt2simple.finetune(
        data, model_name="small", run_name="greeting", steps=2, seed=1, validation_split=0, test_split=0
    )
    result: Any = gpt2simple.evaluate(data[:2], run_name="greeting")
    assert [one.prompt for one in result.outputs.scored] == ["", "b0", "b1"]


def test_the_pairs_of_an_evaluation_are_read_once() -> None:
    """Before the model is loaded; so they may come from an iterator."""
    data = [{"prompt": prompt, "completion": completion} for prompt, completion in pairs(6, seed=4)]
    expected: Any = gpt2simple.evaluate(data, run_name=RUN)
    found: Any = gpt2simple.evaluate(iter(data), run_name=RUN, pair_format="prompt-completion")
    assert (found.loss, found.outputs.outputs) == (expected.loss, 6)


def test_outputs_are_not_written_into_the_folder_of_the_dataset(tmp_path: Path) -> None:
    (tmp_path / "pairs.jsonl").write_bytes(Path("other.jsonl").read_bytes())
    with pytest.raises(SettingsError, match=r"^predictions is .*out\.jsonl, in the folder .* of the dataset, of which"):
        gpt2simple.evaluate(str(tmp_path), run_name=RUN, predictions=tmp_path / "out.jsonl")


def test_no_file_of_the_users_is_replaced_by_outputs(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    for content in ("", "mine", '{"prompt": "a"}\n'):
        own.write_text(content, encoding="utf-8")
        with pytest.raises(SettingsError, match=r"own\.jsonl exists and is not outputs with their scores of gpt2"):
            gpt2simple.evaluate("other.jsonl", run_name=RUN, predictions=own)
        assert own.read_text(encoding="utf-8") == content
    before = Path("other.jsonl").read_bytes()
    with pytest.raises(SettingsError, match=r"other\.jsonl is read by this call, and would be overwritten by"):
        gpt2simple.evaluate("other.jsonl", run_name=RUN, predictions="other.jsonl")
    assert Path("other.jsonl").read_bytes() == before


def test_the_loss_of_training_is_that_of_evaluating() -> None:
    lines = Path("checkpoint", RUN, "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    best = min(record["loss"] for record in records if record.get("kind") == "evaluation" or "bits_per_byte" in record)
    result: Any = gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="held_out")
    assert result.loss == pytest.approx(best, rel=0.02)  # training evaluates in bfloat16 where it trains in it


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gpt2simple.answer(" ", run_name=RUN), r"^A prompt is ' '; expected a text"),
        (lambda: gpt2simple.answer([[{"role": "user"}]], run_name=RUN), "^A prompt is .*; expected a text"),
        (lambda: gpt2simple.answer([[{"role": "bot", "content": "x"}]], run_name=RUN), "with the roles system, user, "),
        (lambda: gpt2simple.answer([[{"role": "user", "content": " "}]], run_name=RUN), "^A prompt is .*; expected a"),
        (lambda: gpt2simple.answer({"role": "user"}, run_name=RUN), r"^A prompt is \[\{'role': 'user'\}\]; expected"),
        (lambda: gpt2simple.answer(b"a1", run_name=RUN), "^A prompt is b'a1'; expected a text"),
        (lambda: gpt2simple.answer(5, run_name=RUN), "^A prompt is 5; expected a text"),
        (lambda: gpt2simple.generate(prompt=5, run_name=RUN), "^A prompt is 5; expected a text"),
        (lambda: gpt2simple.answer(None, run_name=RUN), "^prompt is empty; give a text, a conversation, an inst"),
        (lambda: gpt2simple.answer([], run_name=RUN), "^prompt is empty; give a text, a conversation, an inst"),
        (lambda: gpt2simple.answer("a1", run_name="plain"), "^The model is not that of a run on pairs, so that"),
        (lambda: gpt2simple.answer("a1", model_name="small"), r"Name such a run \(run_name\), or gen"),
        (
            lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, separator="??"),
            r"^separator was given as '\?\?', and the model was trained with '=', which is what it knows\.",
        ),
        (
            lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, end="c"),
            r"^end was given as 'c', and the model was trained with '<\|endoftext\|>', which is what it knows",
        ),
        (lambda: gpt2simple.generate(prefix="a", prompt="b", run_name=RUN), "^prefix and prompt were both given"),
        (
            lambda: gpt2simple.finetune("pairs.jsonl", model_name="small", run_name="new", window=8),
            r"^window was given, which is for plain texts, and the dataset holds pairs \(prompt-completion\)",
        ),
        (
            lambda: gpt2simple.finetune("text.txt", model_name="small", run_name="new", loss_on="all"),
            r"^loss_on was given, which is for pairs, and the dataset holds none that can be told",
        ),
        (
            lambda: gpt2simple.evaluate("text.txt", run_name="plain", predictions="x.jsonl"),
            r"^predictions was given, and the model was not trained on pairs\. Leave it out\.$",
        ),
        (lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, predictions="."), r"^\. is a folder, where a file"),
        (lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, window=8), "^window was given, and pairs are read"),
        (
            lambda: gpt2simple.evaluate("pairs.jsonl", run_name=RUN, label_column="x"),
            r"^label_column was given, and the model was trained on pairs\. Leave it out\.$",
        ),
        (
            lambda: gpt2simple.evaluate("text.txt", run_name="plain", separator="x"),
            r"^separator was given, and the model is no run on labelled texts or pairs\. Leave it out\.$",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call()


def test_prompts_may_come_from_an_iterator_or_be_one_conversation() -> None:
    asked = ["c7", "a1"]
    expected = gpt2simple.answer(asked, run_name=RUN, length=4)
    assert gpt2simple.answer((prompt for prompt in asked), run_name=RUN, length=4) == expected
    conversation = [{"role": "user", "content": "c7"}]
    assert gpt2simple.answer(conversation, run_name=RUN, length=4) == expected[:1]
    assert gpt2simple.answer([conversation], run_name=RUN, length=4) == expected[:1]


def test_a_run_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(RunError, match=f"nonono.*{RUN}"):
        gpt2simple.answer("c7", run_name="nonono")


def test_outputs_for_the_same_held_out_prompts_are_shown_while_training(capfd: pytest.CaptureFixture[str]) -> None:
    settings = {**SETTINGS, "sample_every": 60, "sample_length": 3, "model_name": "small", "steps": 120}
    gpt2simple.finetune("pairs.jsonl", run_name="sampled", **settings)
    shown = capfd.readouterr().err
    texts = [Path(f"checkpoint/sampled/samples/step-{step:06}.txt").read_text("utf-8") for step in (60, 120)]
    for step, text in zip((60, 120), texts, strict=True):
        assert f"--- sample at step {step} ---\n{text}\n---" in shown
    prompts, outputs, references = (texts[1].splitlines()[place::3] for place in range(3))
    assert [texts[0].splitlines()[place::3] for place in (0, 2)] == [prompts, references]
    for prompt, output, reference in zip(prompts, outputs, references, strict=True):
        letter = NAMES[NAMES.index(prompt.removeprefix("Prompt: ")[0]) + 1]
        assert (output, reference) == (f"Output: {letter}", f"Reference: {letter}")
    assert len(set(prompts)) == 3
    same = [json.loads(line) for run in ("sampled", RUN) for line in _records(run) if '"kind": "step"' in line]
    assert [one["loss"] for one in same[:120]] == [one["loss"] for one in same[120:]], "samples change no step"


def _records(run: str) -> list[str]:
    return Path("checkpoint", run, "metrics.jsonl").read_text(encoding="utf-8").splitlines()


def test_without_held_out_pairs_the_prompts_are_of_training_and_samples_can_be_left_out() -> None:
    few: dict[str, Any] = {**SETTINGS, "model_name": "small", "steps": 2, "validation_split": 0.0, "sample_length": 2}
    gpt2simple.finetune("other.jsonl", run_name="none-held-out", sample_every=2, **few)
    text = Path("checkpoint/none-held-out/samples/step-000002.txt").read_text("utf-8")
    assert text.startswith("Prompt of training: ")
    assert text.count("Prompt of training: ") == 3
    gpt2simple.finetune("other.jsonl", run_name="silent", sample_every=0, **few)
    assert not Path("checkpoint/silent/samples").exists()


def test_other_pairs_have_no_parts() -> None:
    with pytest.raises(DataError, match="is not the pairs that the run was trained on, or has changed since"):
        gpt2simple.evaluate("other.jsonl", run_name=RUN, part="test")
    with pytest.raises(RunError, match=r"^The run was trained with validation_split=0\.1, and this call gives 0\.2"):
        gpt2simple.evaluate("pairs.jsonl", run_name=RUN, part="test", validation_split=0.2)


def test_a_column_makes_plain_text_of_pairs() -> None:
    result = gpt2simple.finetune(
        "pairs.jsonl", model_name="small", run_name="as-text", steps=1, column="prompt", window=16
    )
    assert result.target == "token"
    assert "task" not in json.loads(Path("checkpoint/as-text/run.json").read_text(encoding="utf-8"))


def test_masked_loss_and_gradients_are_those_computed_one_pair_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the loss on everything is another one. Prompts are of 3 to 9 bytes, completions of 2 to 19."""
    data = [("abc", "x"), ("q" * 9, "y" * 18), ("de fg", "zz z")]
    settings, tokenizer = PairTextSettings(separator="="), byte_tokenizer()
    found = read_pairs([{"prompt": prompt, "completion": completion} for prompt, completion in data], settings)
    encoded = encode_pairs(found.pairs, found.template, tokenizer, SMALL_CONFIG.n_ctx)
    model = model_of()
    variables = named_variables(model)
    for loss_on in ("completion", "all"):
        read = pair_reader(encoded, loss_on)
        counts = encoded.targets(loss_on)
        assert counts.tolist() == [int(read(number)[2].sum()) for number in range(3)]
        batches, one_each = (
            PackedBatches(encoded.lengths, read, batch_size=size, accumulate=3 // size, seed=0, targets=counts)
            for size in (3, 1)
        )
        whole, accumulated = _step(variables, batches, 1), _step(variables, one_each, 3)
        of_targets = _step(variables, batches, 1, batches.most_targets)  # the head sees these alone
        with monkeypatch.context() as patch:
            patch.setattr(attention, "FEW_PLACES", 1)
            of_many = _step(variables, batches, 1, batches.most_targets)
        one_by_one = [plain_loss_and_gradients(model, *(array[None] for array in read(number))) for number in range(3)]
        tokens = np.array([read(number)[2].sum() for number in range(3)])
        if loss_on == "completion":
            assert tokens.tolist() == [2, 19, 5]
        loss = sum(loss * count for (loss, _), count in zip(one_by_one, tokens, strict=True)) / tokens.sum()
        gradients = {
            name: sum(found[name] * count for (_, found), count in zip(one_by_one, tokens, strict=True)) / tokens.sum()
            for name in one_by_one[0][1]
        }
        for nats, counted, ours in (whole, accumulated, of_targets, of_many):
            assert counted == tokens.sum()
            assert nats / counted == pytest.approx(loss, rel=1e-6)
            assert largest_relative_difference(ours, gradients) < 2e-5
        assert largest_relative_difference(accumulated[2], whole[2]) < 1e-5


def _step(
    variables: Any, batches: PackedBatches, count: int, targets: int | None = None
) -> tuple[float, float, dict[str, np.ndarray]]:
    """Nats, targets and gradients of an optimizer step of so many micro-batches."""
    step = ModelStep(
        variables, frozenset(variables), SMALL_CONFIG, tf.float32, LanguageModeling(np.ones(SMALL_CONFIG.n_vocab)),
        dropout_rate=0.0, seed=tf.constant(1, tf.int64), gradient_checkpointing=False, packed=PackedShape(32, targets),
    )  # fmt: skip
    arrays = [np.stack(parts) for parts in zip(*(batches.batch(n).arrays for n in range(count)), strict=True)]
    nats, tokens, found = step.gradients(list(map(tf.constant, arrays)), tf.constant(0), tf.constant(1.0))
    return float(nats), float(tokens), {name: tf.cast(g, tf.float32).numpy() for name, g in found.items()}


@pytest.mark.reference
def test_answers_and_loss_are_those_of_transformers_on_the_saved_folder(tmp_path: Path) -> None:
    new = pairs(50, seed=2)
    (tmp_path / "pairs.json").write_text(json.dumps(new), encoding="utf-8")
    (tmp_path / "pairs.jsonl").write_text(
        "\n".join(json.dumps({"prompt": prompt, "completion": completion}) for prompt, completion in new), "utf-8"
    )
    theirs = json.loads(printed_by("reference/pytorch_pairs.py", f"checkpoint/{RUN}", tmp_path / "pairs.json", 4))
    assert gpt2simple.answer([prompt for prompt, _ in new], run_name=RUN, length=4) == theirs["answers"]
    result: Any = gpt2simple.evaluate(str(tmp_path / "pairs.jsonl"), run_name=RUN)
    assert result.loss == pytest.approx(theirs["loss"], abs=1e-5)


def test_a_report_shows_the_outputs(tmp_path: Path) -> None:
    report: Any = gpt2simple.report(RUN, destination_path=tmp_path / "r.html")
    page = report.path.read_text(encoding="utf-8")
    for part in ("exact match", "Worst outputs", "Best outputs", "nats per token", "Training"):
        assert part in page, part
    assert report.picture.read_bytes().startswith(b"\x89PNG")
    assert json.loads(report.json_path.read_text(encoding="utf-8"))["result"]["loss"] == report.result.loss
    gpt2simple.report(RUN, destination_path=tmp_path / "r.html")  # a report replaces a report
    with pytest.raises(DataError, match="is not the pairs that the run was trained on"):
        gpt2simple.report(RUN, dataset="other.jsonl", destination_path=tmp_path / "r.html")
