"""Pairs of a prompt and a completion as the task of a fine-tuning call, and the prompts of a model trained on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2simple.api.language import LANGUAGE
from gpt2simple.api.request import GenerateRequest, TaskKind
from gpt2simple.api.tasks import SAMPLE_EVERY, Prepared
from gpt2simple.data.batches import PackedShape, checked_window
from gpt2simple.data.packing import PackedBatches, packed_rows, rounded_width
from gpt2simple.data.pair_encoding import EncodedPairs, encode_pairs, pair_reader
from gpt2simple.data.pair_split import PairData, PairSplit, open_pairs
from gpt2simple.data.pairs import recognise
from gpt2simple.data.prompt_template import (
    ONE_MESSAGE,
    USER,
    Message,
    PromptTemplate,
    alpaca_message,
    last_message,
    template_from_json,
)
from gpt2simple.data.share import parts_of_rows
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.memorisation import shortened
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import CHAT_TEMPLATE_FILE, existing_run_path
from gpt2simple.runs.resume import continues
from gpt2simple.settings import (
    FinetuneSettings,
    GenerateSettings,
    PairSettings,
    PairTextSettings,
    ReadingSettings,
    TextSettings,
    pick,
)
from gpt2simple.settings.pairs import COMPLETION
from gpt2simple.settings.tasks import PAIRS as NAME
from gpt2simple.storage.contents import counted, quoted
from gpt2simple.storage.files import atomic_write

if TYPE_CHECKING:
    from gpt2simple.api.request import Request
    from gpt2simple.data.prepare import ProgressBar
    from gpt2simple.generation.generator import Generator
    from gpt2simple.gpt2.model import LoadedModel

_SAMPLED = 3  # prompts
_FEW_TARGETS = 0.75  # of a row: where there are more, computing these alone saves less than gathering them takes


@dataclass(frozen=True, kw_only=True)
class _Summary:
    """What is said of pairs before training on them."""

    data: PairData
    split: PairSplit
    encoded: Mapping[str, EncodedPairs]  # by the names of the parts
    loss_on: str
    padding: float

    @cached_property
    def _parts(self) -> dict[str, int]:
        parts = {"training": self.split.train, "validation": self.split.validation, "test": self.split.test}
        return {name: len(part or ()) for name, part in parts.items()}

    @cached_property
    def _notices(self) -> list[str]:
        data, own = self.data, {"validation": self.data.validation, "test": self.data.test}
        of_parts = [*((name, pairs.hints()) for name, pairs in own.items() if pairs is not None)]
        of_parts += [(name, encoded.hints()) for name, encoded in self.encoded.items()]
        named = (f"{name.capitalize()}: {hint}" for name, hints in of_parts for hint in hints)
        return [*data.messages, *data.pairs.hints(), *named, self.split.check()]

    def text(self) -> str:
        pairs = self.data.pairs
        files = f" from {pairs.files:,} files" if pairs.files > 1 else ""
        tokens = _counted_tokens(self.encoded["training"], self.loss_on)
        learned = "completions" if self.loss_on == COMPLETION else "prompts and completions, as is the held-out loss"
        return "\n".join([
            f"Pairs: {counted(len(pairs.pairs), 'pair')} in the format {pairs.format}{files}; the loss is on "
            f"{tokens:,} tokens of {learned}",
            "Parts: " + ", ".join(f"{number:,} for {name}" for name, number in self._parts.items())
            + f"; {self.padding:.1%} of the positions in training are padding",
            *self._notices,
        ])  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        pairs = self.data.pairs
        return {
            "sources": list(self.data.sources),
            "files": pairs.files,
            "format": pairs.format,
            "template": pairs.template.to_json(),
            "pairs": len(pairs.pairs),
            **{f"{name}_pairs": number for name, number in self._parts.items()},
            "padding": self.padding,
            "notices": self._notices,
        }


def _prepare(request: Request, loaded: LoadedModel, progress: ProgressBar) -> Prepared:
    """The pairs split, encoded and packed into batches."""
    from gpt2simple.training.data import TrainingData  # here: these load TensorFlow
    from gpt2simple.training.task import LanguageModeling

    settings, data = request.settings, request.dataset
    assert isinstance(settings, PairSettings)
    assert isinstance(data, PairData)
    longest = checked_window(settings.max_length, loaded.config.n_ctx, "max_length")
    split, template = data.split(request.seed), data.pairs.template
    train, held_out, test = (
        encode_pairs(part or (), template, loaded.tokenizer, longest)
        for part in (split.train, split.validation, split.test)
    )
    lengths = train.lengths  # (n,)
    batches = PackedBatches(
        lengths, pair_reader(train, settings.loss_on), batch_size=settings.batch_size,
        accumulate=settings.accumulate_gradients, seed=request.seed,
        targets=train.targets(settings.loss_on),
        parts=parts_of_rows(request.replicas, settings.accumulate_gradients),
    )  # fmt: skip
    longest_held_out = int(held_out.lengths.max(initial=0))
    # Of the same tokens as the loss of training: the curves of both are compared.
    read = pair_reader(held_out, settings.loss_on)
    evaluated = packed_rows(held_out.lengths, read, batch_size=settings.batch_size)
    most_targets = max([batches.most_targets, *(int((batch.loss_mask > 0.0).sum()) for batch, _ in evaluated)])
    sampled = _sampled(split, template, settings.sample_length)
    rows = batches.steps_per_epoch * settings.batch_size * settings.accumulate_gradients
    return Prepared(
        task=LanguageModeling(loaded.tokenizer.byte_lengths),
        data=TrainingData(
            micro_batch=batches.batch,
            epoch_at=batches.epoch_at,
            accumulate=settings.accumulate_gradients,
            held_out=tuple(batch for batch, _ in evaluated),
            packed=PackedShape(
                rounded_width(max(int(lengths.max()), longest_held_out)),
                most_targets if most_targets <= _FEW_TARGETS * batches.widths[-1] else None,
            ),
        ),
        summary=_Summary(
            data=data,
            split=split,
            encoded={"training": train, "validation": held_out, "test": test},
            loss_on=settings.loss_on,
            padding=batches.padding,
        ),
        rows_per_epoch=rows,
        held_out_rows=len(held_out.prompts),
        row_tokens=int(lengths.sum()) / (1.0 - batches.padding) / rows,
        longest_row=-(-batches.widths[-1] // settings.batch_size),
        train_tokens=_counted_tokens(train, settings.loss_on),
        held_out_tokens=_counted_tokens(held_out, settings.loss_on),
        fingerprint=data.fingerprint,
        validation_fingerprint=data.validation_fingerprint,
        sample=sampled,
        sample_every=SAMPLE_EVERY if settings.sample_every is None else settings.sample_every,
        files={CHAT_TEMPLATE_FILE: template.chat_template().encode()},
    )


def _sampled(split: PairSplit, template: PromptTemplate, length: int) -> Callable[[Generator, int], str]:
    """What shows a few held-out prompts, the same at every step, with the output and the reference of each.

    Where nothing is held out they are of training.
    """
    part, name = (split.validation, "Prompt") if split.validation else (split.train, "Prompt of training")
    places = np.unique(np.linspace(0, len(part) - 1, _SAMPLED).round().astype(np.int64))
    chosen = [part[place] for place in places.tolist()]
    prefixes = [template.prompt_of(pair.messages) for pair in chosen]
    greedy = GenerateSettings(length=length, temperature=0.0, include_prefix=False, stop=template.stop, seed=0)

    def sample(generator: Generator, step: int) -> str:
        outputs = [found.text for found in generator.generate(prefixes, greedy)]
        return "\n".join(
            f"{name}: {shortened(last_message(pair.messages))}\nOutput: {shortened(output)}\n"
            f"Reference: {shortened(pair.completion)}"
            for pair, output in zip(chosen, outputs, strict=True)
        )

    return sample


def _counted_tokens(encoded: EncodedPairs, loss_on: str) -> int:
    """The tokens that the loss counts: a prompt's first one is never predicted."""
    return sum(map(len, encoded.completions)) if loss_on == COMPLETION else int(encoded.lengths.sum())


PAIRS = TaskKind(name=NAME, open=open_pairs, labels=lambda _: (), prepare=_prepare)


def kind_of(dataset: Any, given: Mapping[str, Any], run: RunFolder) -> TaskKind:
    """Whether a call of ``finetune`` trains on pairs or on a text: a run that it continues decides, else the dataset.

    Args:
        given: the settings of the call, by name.

    Raises:
        SettingsError, DataError: as of ``kind_by_content``.
    """
    if continues(run, given.get("restore_from", "latest")):
        kind = PAIRS if run.info.description.task == PAIRS.name else LANGUAGE
        instead = "Leave it out, or give another run_name for a run of its own."
        _refuse_others(
            kind, given, FinetuneSettings, PairSettings,
            no_pairs=f"{run.path} is no run on pairs. {instead}", no_text=f"{run.path} is a run on pairs. {instead}",
        )  # fmt: skip
        return kind
    return kind_by_content(dataset, given, FinetuneSettings, PairSettings)


def kind_by_content(dataset: Any, given: Mapping[str, Any], on_texts: type, on_pairs: type) -> TaskKind:
    """Whether a dataset holds pairs or a text, by its first records and by the settings of the call.

    Args:
        given: by name. on_texts, on_pairs: the classes of settings that the call takes for either, besides those by
            which they are read.

    Raises:
        SettingsError: a setting is for the other of the two. DataError: as of ``recognise``.
    """
    reading = PairTextSettings if _only_for(on_pairs, on_texts, given)[0] else ReadingSettings
    found = recognise(dataset, reading(**pick(given, reading)))
    kind = LANGUAGE if found is None else PAIRS
    _refuse_others(
        kind, given, on_texts, on_pairs,
        no_pairs="the dataset holds none that can be told. Leave it out, or name prompt_column and completion_column, "
        "or pair_format.",
        no_text=f"the dataset holds pairs ({found}). Leave it out, or name a column or template to train on as plain "
        "text.",
    )  # fmt: skip
    return kind


def _only_for(on_pairs: type, on_texts: type, given: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """The settings of a call that are for pairs alone, and those that are for texts alone."""
    pairs, texts = _names_of(on_pairs, PairTextSettings), _names_of(on_texts, TextSettings)
    return [name for name in given if name in pairs - texts], [name for name in given if name in texts - pairs]


def _refuse_others(
    kind: TaskKind, given: Mapping[str, Any], on_texts: type, on_pairs: type, *, no_pairs: str, no_text: str
) -> None:
    """Raise SettingsError for a setting that is for the other kind; no_pairs, no_text: why, and what to do."""
    of_pairs, of_texts = _only_for(on_pairs, on_texts, given)
    if kind is LANGUAGE and of_pairs:
        raise SettingsError(f"{of_pairs[0]} was given, which is for pairs, and {no_pairs}")
    if kind is PAIRS and of_texts:
        raise SettingsError(f"{of_texts[0]} was given, which is for plain texts, and {no_text}")


def _names_of(*classes: type) -> set[str]:
    return {name for cls in classes for name in cls.__dataclass_fields__}  # type: ignore[attr-defined]


def template_of(run: RunFolder | None) -> PromptTemplate:
    """How the prompts of a run are written.

    Raises:
        SettingsError: no run is named, or it was not trained on pairs. RunError: there is no such run.
    """
    if run is not None:
        existing_run_path(run.path.parent, run.path.name)  # raises, naming the runs that exist
    if run is None or run.info.description.task != PAIRS.name:
        raise SettingsError(
            "The model is not that of a run on pairs, so that it has no template for prompts. Name such a run "
            "(run_name), or generate from a prefix."
        )
    return template_from_json(run.info.description.data_summary["template"])


def written(request: GenerateRequest, run: RunFolder | None) -> GenerateRequest:
    """A request for prompts as one for the texts that the run's template makes of them; another one as it is."""
    if not request.of_prompts:
        return request
    template = template_of(run)
    conversations = [conversation_of(prompt, template) for prompt in request.prefixes]
    if odd := next((messages for messages in conversations if not template.takes(messages)), None):
        raise SettingsError(f"A prompt is {quoted(odd)}: {ONE_MESSAGE} Give a text, or use a run on conversations.")
    settings = replace(request.settings, stop=(*request.settings.stop, *template.stop))
    return replace(request, prefixes=tuple(map(template.prompt_of, conversations)), settings=settings, of_prompts=False)


def conversation_of(prompt: Any, template: PromptTemplate) -> Sequence[Message | Mapping[str, str]]:
    """The messages of a checked prompt: a text, an instruction with its input, or messages already.

    Raises:
        SettingsError: it has an input, and the template has no place for one.
    """
    if isinstance(prompt, str):
        return [Message(USER, prompt)]
    if not isinstance(prompt, Mapping):
        return prompt
    if prompt["input"].strip() and not template.input:
        raise SettingsError(
            f"A prompt is {quoted(prompt)}: this run was not trained on instructions with an input. Give one text that "
            "holds both."
        )
    return [alpaca_message(prompt["instruction"], prompt["input"])]


def write_chat_template(folder: Path, run: RunFolder | None) -> None:
    """Write the template of a run on pairs into a model's folder; nothing for other models."""
    if run is not None and run.exists and run.info.description.task == PAIRS.name:
        atomic_write(folder / CHAT_TEMPLATE_FILE, template_of(run).chat_template())
