"""A model trained on pairs, evaluated on pairs: how well it predicts completions, and what it writes by itself."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gpt2simple.data.batches import Batch
from gpt2simple.data.label_split import PARTS, part_of
from gpt2simple.data.packing import packed_rows, rounded_width
from gpt2simple.data.pair_encoding import EncodedPairs, encode_pairs, pair_reader
from gpt2simple.data.pair_split import open_pairs
from gpt2simple.data.pairs import read_pairs
from gpt2simple.data.prompt_template import Message, last_message, template_from_json
from gpt2simple.data.readers.pairs import Pair
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.outputs.metrics import output_figures, require_text_metrics
from gpt2simple.evaluation.outputs.predictions import PREDICTIONS, predictions
from gpt2simple.evaluation.outputs.result import CompletionLoss, PairResult
from gpt2simple.evaluation.scorer import Scorer
from gpt2simple.generation.generator import Generator
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunDescription
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.resume import require_same_data, require_same_parts, with_recorded
from gpt2simple.settings import EvaluateSettings, GenerateSettings, PairSettings, PairTextSettings, pick
from gpt2simple.storage.outputs import check_output, output_file

logger = logging.getLogger(__name__)
_SHORTEST_LIMIT = 16  # tokens, of what is written: a model may say a short thing in more words


class ChosenPairs(NamedTuple):
    """The pairs to evaluate on.

    Attributes:
        learned: those that the model learned from; None: not known.
        part: what they are, in words. files: that hold them, which outputs must not replace.
    """

    pairs: tuple[Pair, ...]
    learned: tuple[Pair, ...] | None
    part: str
    files: list[Path]


def choose_pairs(
    dataset: Any, settings: EvaluateSettings, given: Mapping[str, Any], run: RunFolder | None
) -> ChosenPairs:
    """Read the pairs, before a model is loaded: a part of those that a run was trained on, or all.

    Args:
        given: the settings of the call, by name, of which those of pairs are used.

    Raises:
        DataError: the pairs cannot be read, or are not those that the run was trained on.
        RunError: the call names another split than the run used.
        SettingsError: a setting is not for pairs, or the file for the outputs is of another kind.
    """
    require_text_metrics()
    for name in ("window", "stride"):
        if getattr(settings, name) is not None:
            raise SettingsError(f"{name} was given, and pairs are read as a whole. Leave it out.")
    if settings.per_document:
        raise SettingsError("per_document was given, which is for plain texts. Leave it out.")
    for name in ("cache_dir", "label_column"):
        if given.get(name) is not None:
            raise SettingsError(f"{name} was given, and the model was trained on pairs. Leave it out.")
    assert run is not None
    chosen = ChosenPairs(*_pairs(dataset, settings, given, run.info.description), _files(dataset))
    if settings.predictions is not None:
        target = Path(settings.predictions)
        for folder in filter(Path.is_dir, chosen.files):
            if folder.resolve() in target.resolve().parents:
                raise SettingsError(
                    f"predictions is {target}, in the folder {folder} of the dataset, of which it would be a part "
                    "next time. Name a file elsewhere."
                )
        check_output(target, PREDICTIONS, chosen.files)
    return chosen


def evaluate_pairs(
    loaded: LoadedModel,
    chosen: ChosenPairs,
    settings: EvaluateSettings,
    given: Mapping[str, Any],
    *,
    model: str,
    run: RunFolder,
    precision: str,
) -> PairResult:
    """The figures of a run's model on pairs.

    Each prompt is answered once; where several pairs have it, their completions are the references of that output.

    Args:
        chosen, given: as ``choose_pairs`` returns and takes them.

    Raises:
        DataError: no completion fits. StorageError: the file for the outputs cannot be written.
    """
    started, recorded = time.perf_counter(), run.info.description
    training = recorded.settings
    assert isinstance(training, PairSettings)
    pairs, learned, part, files = chosen
    template = template_from_json(recorded.data_summary["template"])
    longest = training.max_length or loaded.config.n_ctx
    encoded = encode_pairs(pairs, template, loaded.tokenizer, longest)
    scorer = Scorer(loaded.variables, loaded.config, precision, loaded.devices)
    nats, (prompt_nats, prompt_tokens) = _losses(scorer, encoded, settings.batch_size)  # (n,)
    tokens, byte_lengths = sum(map(len, encoded.completions)), loaded.tokenizer.byte_lengths
    sizes = np.array([byte_lengths[completion].sum() for completion in encoded.completions])  # (n,)
    loss = float(nats.sum()) / tokens
    fitting = {pairs[number].messages for number in encoded.numbers.tolist()}
    numbers: dict[tuple[Message, ...], list[int]] = {}  # of each prompt those of its pairs, also of too long ones
    for number, pair in enumerate(pairs):
        if pair.messages in fitting:
            numbers.setdefault(pair.messages, []).append(number)
    # Without copies.
    references = [tuple(dict.fromkeys(pairs[number].completion for number in some)) for some in numbers.values()]
    length = max(_SHORTEST_LIMIT, 2 * max(map(len, encoded.completions)))
    prefixes = list(map(template.prompt_of, numbers))
    greedy = GenerateSettings(length=length, temperature=0.0, include_prefix=False, stop=template.stop, seed=0)
    generator = Generator(loaded.for_decoding, loaded.config, loaded.tokenizer, precision, loaded.devices)
    with closing(generator):
        outputs = [sample.text for sample in generator.generate(prefixes, greedy)]
    known = None if learned is None else [pair.completion for pair in learned]
    figures = output_figures(
        outputs, references, model=f"{run.path.name} ({model})", part=part, prompts=[*map(last_message, numbers)],
        completions=known,
    )  # fmt: skip
    if settings.predictions is not None:
        with output_file(Path(settings.predictions), PREDICTIONS, files) as file:
            file.write(predictions(figures).encode())
        logger.info(f"The outputs are in {settings.predictions}.")
    return PairResult(
        loss=loss, perplexity=float(np.exp(loss)), tokens=tokens,
        prompt_loss=prompt_nats / prompt_tokens if prompt_tokens else None, truncated=encoded.truncated,
        left_out=len(encoded.left_out), outputs=figures, length=length, precision=precision,
        seconds=time.perf_counter() - started,
        losses=tuple(map(CompletionLoss, encoded.numbers.tolist(), nats.tolist(), sizes.tolist())),
        numbers=tuple(some[0] for some in numbers.values()),
    )  # fmt: skip


def _pairs(
    dataset: Any, settings: EvaluateSettings, given: Mapping[str, Any], recorded: RunDescription
) -> tuple[tuple[Pair, ...], tuple[Pair, ...] | None, str]:
    """The pairs to evaluate on, those that the model learned from if they are known, and the name of the part."""
    before = recorded.text_settings
    assert isinstance(before, PairTextSettings)
    for name in ("separator", "end"):
        if given.get(name, getattr(before, name)) != getattr(before, name):
            raise SettingsError(
                f"{name} was given as {given[name]!r}, and the model was trained with {getattr(before, name)!r}, which "
                "is what it knows. Leave it out."
            )
    wanted = with_recorded(before, pick(given, PairTextSettings))
    if settings.part == "all":
        found = read_pairs(dataset, wanted, template=template_from_json(recorded.data_summary["template"]))
        return found.pairs, None, f"all of {', '.join(found.sources)}"
    require_same_parts(before, wanted, "pairs")
    data = open_pairs(dataset, wanted)
    require_same_data(recorded, data.fingerprint, data.validation_fingerprint, "pairs")
    split = data.split(recorded.seed)
    return part_of(split, settings.part), split.train, PARTS[settings.part]


def _files(dataset: Any) -> list[Path]:
    """What a dataset of pairs names, if it names files."""
    names = dataset if isinstance(dataset, (list, tuple)) else [dataset]
    return [Path(name) for name in names if isinstance(name, (str, Path))]


def _losses(scorer: Scorer, encoded: EncodedPairs, batch_size: int) -> tuple[np.ndarray, tuple[float, int]]:
    """Nats of each completion, float64 (n,), and nats and tokens of all prompts but for their first tokens."""
    lengths = encoded.lengths  # (n,)
    longest = rounded_width(int(lengths.max()))
    found, prompt_nats, prompt_tokens = np.zeros(len(lengths)), 0.0, 0
    rows = packed_rows(lengths, pair_reader(encoded), batch_size=batch_size)
    scored_rows = scorer.score_each(((row, _scored_arrays(row[0])) for row in rows), longest=longest)
    for (batch, numbers), scored in scored_rows:
        ends = np.cumsum(lengths[numbers])  # (pairs of the row,)
        nats, of_completion = scored.nats[0, : ends[-1]].astype(np.float64), batch.loss_mask[0, : ends[-1]] > 0  # (T,)
        found[numbers] = np.add.reduceat(np.where(of_completion, nats, 0.0), ends - lengths[numbers])
        prompt_nats += float(nats[~of_completion].sum())
        prompt_tokens += int((~of_completion).sum())
    return found, (prompt_nats, prompt_tokens)


def _scored_arrays(batch: Batch) -> tuple[np.ndarray, ...]:
    """The inputs, targets and positions of a packed row."""
    inputs, targets, _, positions = batch.arrays
    return inputs, targets, positions
