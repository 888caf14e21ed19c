"""Classification as the task of a fine-tuning call: labelled texts in three parts, packed into batches."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gpt2simple.api.request import TaskKind
from gpt2simple.api.tasks import Prepared
from gpt2simple.data.batches import PackedShape, checked_window
from gpt2simple.data.folder_parts import dataset_parts
from gpt2simple.data.label_split import Examples, LabelSplit, split_labelled
from gpt2simple.data.labelled import LabelledTexts, labelled_reader, read_labelled
from gpt2simple.data.packing import PackedBatches, packed_rows, rounded_width
from gpt2simple.data.share import parts_of_rows
from gpt2simple.settings import ClassifierSettings, LabelledTextSettings
from gpt2simple.settings.tasks import CLASSIFICATION
from gpt2simple.storage.contents import as_name, counted, json_digest

if TYPE_CHECKING:
    from gpt2simple.api.request import Request
    from gpt2simple.data.prepare import ProgressBar
    from gpt2simple.evaluation.classification.metrics import ClassificationResult
    from gpt2simple.gpt2.model import LoadedModel

_MOST_NAMED = 40  # classes, in a line


@dataclass(frozen=True, kw_only=True)
class LabelledData:
    """A labelled dataset, with the user's own texts to evaluate training on and to test on, if there are any.

    Attributes:
        messages: for the user, on where the parts are from.
    """

    texts: LabelledTexts
    validation: LabelledTexts | None
    test: LabelledTexts | None
    settings: LabelledTextSettings
    messages: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identifies the texts to train and to test on, which decide together which text is in which part."""
        one = self.texts.fingerprint
        return one if self.test is None else json_digest([one, self.test.fingerprint])

    @property
    def validation_fingerprint(self) -> str | None:
        """Of the user's own texts to validate with; None: there are none."""
        return None if self.validation is None else self.validation.fingerprint

    def split(self, seed: int) -> LabelSplit:
        """Its three parts."""
        return split_labelled(self.texts, self.settings, seed, validation=self.validation, test=self.test)


@dataclass(frozen=True, kw_only=True)
class _Summary:
    """What is said of labelled texts before training on them."""

    data: LabelledData
    split: LabelSplit
    truncated: int
    longest: int  # tokens
    padding: float

    @cached_property
    def _parts(self) -> dict[str, int]:
        parts = {"training": self.split.train, "validation": self.split.validation, "test": self.split.test}
        return {name: 0 if part is None else len(part.texts) for name, part in parts.items()}

    @property
    def _notices(self) -> list[str]:
        return [*self.data.messages, *self.split.messages]

    def text(self) -> str:
        texts = self.data.texts
        found = np.bincount(texts.labels, minlength=len(texts.names)).tolist()
        named = list(zip(texts.names, found, strict=True))
        classes = ", ".join(f"{as_name(name)} {number:,}" for name, number in named[:_MOST_NAMED])
        more = f" and {len(named) - _MOST_NAMED:,} more" if len(named) > _MOST_NAMED else ""
        lines = [
            f"Texts: {counted(len(texts.texts), 'text')} in {counted(len(found), 'class', 'classes')}: {classes}{more}",
            "Parts: " + ", ".join(f"{number:,} for {name}" for name, number in self._parts.items())
            + f"; {self.padding:.1%} of the positions in training are padding",
        ]  # fmt: skip
        if texts.blank:
            lines.append(f"Left out: {counted(texts.blank, 'text')} of nothing but white space.")
        if texts.ended:
            lines.append(f"The end-of-text token was removed from the end of {counted(texts.ended, 'text')}.")
        if self.truncated:
            lines.append(
                f"Of {counted(self.truncated, 'text')} for training or validation only the first {self.longest} tokens "
                "are read."
            )
        return "\n".join([*lines, *self._notices])

    def to_json(self) -> dict[str, Any]:
        texts = self.data.texts
        return {
            "sources": list(texts.sources),
            "files": texts.files,
            "labels": list(texts.names),
            "texts": len(texts.texts),
            **{f"{name}_texts": number for name, number in self._parts.items()},
            "blank": texts.blank,
            "ended": texts.ended,
            "truncated": self.truncated,
            "padding": self.padding,
            "notices": self._notices,
        }


def open_labelled(dataset: Any, settings: LabelledTextSettings) -> LabelledData:
    """Read a dataset, and the user's own texts to validate and test with; one that was read already stays as it is.

    A folder with tables such as train.csv, valid.csv and test.csv, as `folder_parts` describes it, is its three parts;
    a file that the settings name takes the place of one of them.

    Raises:
        DataError: one cannot be read, has a label that training lacks, or the parts of a folder are not certain.
    """
    if isinstance(dataset, LabelledData):
        return dataset
    parts = dataset_parts(dataset, validation=settings.validation_file, test=settings.test_file)
    texts = read_labelled(parts.train, settings)

    def own(name: Any) -> LabelledTexts | None:
        return None if name is None else read_labelled(name, settings, names=texts.names)

    return LabelledData(
        texts=texts, validation=own(parts.validation), test=own(parts.test), settings=settings, messages=parts.messages
    )


def _prepare(request: Request, loaded: LoadedModel, progress: ProgressBar) -> Prepared:
    """The texts split, encoded and packed into batches."""
    from gpt2simple.evaluation.classification.classifier import encode_texts  # here: these load TensorFlow
    from gpt2simple.evaluation.classification.measure import evaluate_part
    from gpt2simple.training.classification import Classification as Task
    from gpt2simple.training.data import TrainingData

    settings, data = request.settings, request.dataset
    assert isinstance(settings, ClassifierSettings)
    assert isinstance(data, LabelledData)
    longest = checked_window(settings.max_length, loaded.config.n_ctx, "max_length")
    split = data.split(request.seed)
    train, validation = split.train, split.validation or Examples(texts=(), labels=np.zeros(0, np.int32))
    encoded = encode_texts(train.texts, loaded.tokenizer, longest)
    weights = _weights(train, len(data.texts.names), balanced=settings.class_weights)
    batches = PackedBatches(
        encoded.lengths, labelled_reader(encoded.ids, train.labels, weights),
        batch_size=settings.batch_size, accumulate=settings.accumulate_gradients, seed=request.seed,
        parts=parts_of_rows(request.replicas, settings.accumulate_gradients),
    )  # fmt: skip
    of_validation = encode_texts(validation.texts, loaded.tokenizer, longest)
    longest_held_out = int(of_validation.lengths.max(initial=0))
    reader = labelled_reader(of_validation.ids, validation.labels)
    held_out = packed_rows(of_validation.lengths, reader, batch_size=settings.batch_size)

    def test(best: LoadedModel, name: str) -> ClassificationResult:
        return evaluate_part(
            best, split, "test", model=f"{name} ({request.model_name})", precision="float32",
            longest=settings.max_length, batch_size=settings.batch_size,
        )  # fmt: skip

    tokens = int(encoded.lengths.sum())
    rows = batches.steps_per_epoch * settings.batch_size * settings.accumulate_gradients
    return Prepared(
        task=Task(by_accuracy=settings.early_stopping_metric == "accuracy"),
        data=TrainingData(
            micro_batch=batches.batch,
            epoch_at=batches.epoch_at,
            accumulate=settings.accumulate_gradients,
            held_out=tuple(batch for batch, _ in held_out),
            packed=PackedShape(rounded_width(max(int(encoded.lengths.max()), longest_held_out)), settings.batch_size),
        ),
        summary=_Summary(
            data=data, split=split, truncated=encoded.truncated + of_validation.truncated, longest=longest,
            padding=batches.padding,
        ),
        target="text",
        rows_per_epoch=rows,
        held_out_rows=len(validation.texts),
        row_tokens=tokens / (1.0 - batches.padding) / rows,
        longest_row=-(-batches.widths[-1] // settings.batch_size),
        train_tokens=tokens,
        held_out_tokens=int(of_validation.lengths.sum()),
        fingerprint=data.fingerprint,
        validation_fingerprint=data.validation_fingerprint,
        test=None if split.test is None else test,
    )  # fmt: skip


def _weights(train: Examples, classes: int, *, balanced: bool) -> np.ndarray:
    """The weight of each text in the loss, float32 [N], 1 on average."""
    if not balanced:
        return np.ones(len(train.labels), np.float32)
    found = np.bincount(train.labels, minlength=classes)  # (C,)
    return (len(train.labels) / (np.count_nonzero(found) * np.maximum(found, 1)))[train.labels].astype(np.float32)


CLASSIFIER = TaskKind(name=CLASSIFICATION, open=open_labelled, labels=lambda data: data.texts.names, prepare=_prepare)
