"""Which labelled texts are trained on, which training is evaluated on, and which the classifier is tested on.

Each class is split by itself, so that it has the same share of each part. Copies and near copies (`duplicates`) stay
together; where most texts of a class are made from one template, only copies do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2simple.data.duplicates import copies, groups, near_copies
from gpt2simple.data.labelled import LabelledTexts
from gpt2simple.data.readers.labels import written_alike
from gpt2simple.data.readers.nested import listing
from gpt2simple.data.sketches import Sketches, SketchWriter, part_hashes
from gpt2simple.errors import DataError
from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.storage.contents import counted, quoted

_HASHED_AT_ONCE = 1024  # texts
_LARGEST_GROUP = 0.1  # of near copies, as a share of its class; a larger one would be a part of the split by itself
TRAIN, VALIDATION, TEST = range(3)
_PURPOSES = ("to train on", "to validate", "to test")


@dataclass(frozen=True, kw_only=True, eq=False)
class Examples:
    """Texts and their labels.

    Attributes:
        labels: int32 [n], the number of each text's label.
    """

    texts: tuple[str, ...]
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelSplit:
    """Labelled texts in up to three parts, and messages for the user on how they were split."""

    train: Examples
    validation: Examples | None
    test: Examples | None
    messages: tuple[str, ...]


# For people, by the names that ``evaluate`` takes.
PARTS = {
    "train": "the training part",
    "held_out": "the validation part, by which the best step was chosen",
    "test": "the test part",
}


def part_of(split: Any, part: str) -> Any:
    """A part of a split, of labelled texts or pairs, by the name that ``evaluate`` takes.

    Raises:
        DataError: there is no such part.
    """
    found = {"train": split.train, "held_out": split.validation, "test": split.test}[part]
    if found is None or not len(found):
        raise DataError(
            f"part is {part!r}, and the run has no such part: its split was set to 0. Name another part, or train with "
            "validation_split and test_split above 0."
        )
    return found


def split_labelled(
    data: LabelledTexts,
    settings: LabelledTextSettings,
    seed: int,
    *,
    validation: LabelledTexts | None = None,
    test: LabelledTexts | None = None,
) -> LabelSplit:
    """Split texts into a part to train on and those that ``validation_split`` and ``test_split`` ask for.

    Args:
        seed: decides which texts are in which part.
        validation, test: the user's own (``validation_file``, ``test_file``), in place of a fraction. Copies of their
            texts are not trained on; what the two share stays in both, and so do near copies, with a message.

    Raises:
        DataError: nothing would be left to train on, or a class has too few texts.
    """
    sketches = _sketches(data.texts)
    hashes = sketches.texts  # (N,)
    messages = [*_similar_labels(data.names), *_different_labels(data, hashes)]
    kept = np.ones(len(data.texts), bool)  # (N,)
    files = {"validation_file": validation, "test_file": test}
    hashes_of = {name: _sketches(own.texts).texts for name, own in files.items() if own is not None}
    for name, own_hashes in hashes_of.items():
        same = kept & np.isin(hashes, own_hashes)
        kept &= ~same
        if same.any():
            count = counted(int(same.sum()), "copy of a text", "copies of texts")
            messages.append(f"Not trained on: {count} in {name}.")
    if len(hashes_of) == 2:
        messages += _shared(*hashes_of.values())
    _require_each_class(data, kept)
    shares = {VALIDATION: settings.validation_split, TEST: settings.test_split}
    taken = {part: shares[part] for part, own in ((VALIDATION, validation), (TEST, test)) if own is None}
    taken = {part: share for part, share in taken.items() if share > 0.0}
    group_of = _groups(data, sketches)  # (N,)
    part_of = _parts(data, np.where(kept)[0], group_of, taken, np.random.default_rng(seed))  # (N,), -1: left out
    train = _examples(data, part_of == TRAIN)
    for name, own in files.items():
        messages += _nearly_trained_on(name, own.texts, train.texts) if own is not None else []
    return LabelSplit(
        train=train,
        validation=_own_or_part(data, validation, part_of, VALIDATION),
        test=_own_or_part(data, test, part_of, TEST),
        messages=tuple(messages),
    )


def _sketches(texts: Sequence[str]) -> Sketches:
    """What tells copies and near copies among the texts."""
    writer = SketchWriter()
    for start in range(0, len(texts), _HASHED_AT_ONCE):
        some = texts[start : start + _HASHED_AT_ONCE]
        writer.add(part_hashes(some, [0] * len(some)), [True] * len(some))
    return writer.finish()


def _groups(data: LabelledTexts, sketches: Sketches) -> np.ndarray:
    """The group of texts that stay together which each text is in, uint64 [N]: the hash of one of them."""
    same = copies(sketches)  # (N,)
    alike = groups(same, near_copies(sketches).pairs)  # (N,)
    different = np.unique(same)  # (D,), the first text of each group of copies
    sizes = np.bincount(alike[different], minlength=len(same))  # (N,), different texts in each group
    of_class = np.bincount(data.labels[different], minlength=len(data.names))[data.labels]  # (N,)
    too_large = np.zeros(len(same), bool)  # (N,), by group
    np.logical_or.at(too_large, alike, sizes[alike] > _LARGEST_GROUP * of_class)
    return sketches.texts[np.where(too_large[alike], same, alike)]  # (N,)


def _similar_labels(names: Sequence[str]) -> list[str]:
    """A message where labels may be meant as one."""
    if not (groups := written_alike(names)):
        return []
    more = f" ({counted(len(groups) - 1, 'more such case')})" if len(groups) > 1 else ""
    return [
        f"{listing(groups[0])} are different classes, and look like one label that is written in several ways. Correct "
        f"them if they are{more}."
    ]


def _different_labels(data: LabelledTexts, hashes: np.ndarray) -> list[str]:
    """A message where the same text has different labels."""
    _, first, group_of = np.unique(hashes, return_index=True, return_inverse=True)  # (groups,), (N,)
    differs = np.zeros(len(first), bool)
    np.logical_or.at(differs, group_of, data.labels != data.labels[first][group_of])
    if not differs.any():
        return []
    count = int(differs.sum())
    example = data.texts[int(first[differs].min())]
    which = "text occurs" if count == 1 else "texts occur"
    return [
        f"{count:,} {which} several times, case and punctuation aside, with different labels, such as "
        f"{quoted(example)}. Hardly any classifier gets all of them right; correct the labels if you can."
    ]


def _shared(validation: np.ndarray, test: np.ndarray) -> list[str]:
    """A message where the user's own files, of whose texts these are the hashes, [n] and [m], have texts in common."""
    count = int(np.isin(test, validation).sum())
    if not count:
        return []
    are = "is" if count == 1 else "are"
    return [
        f"{count:,} of the {counted(len(test), 'text')} in test_file {are} in validation_file too. "
        "Validation chooses the best step, so the figures on test_file may be too good. Better keep them apart."
    ]


def _nearly_trained_on(name: str, own: Sequence[str], trained_on: Sequence[str]) -> list[str]:
    """A message where texts of the user's own file are near copies of texts to train on."""
    sketches = _sketches([*trained_on, *own])
    pairs = near_copies(sketches).pairs  # (P, 2)
    first = len(trained_on)
    near = pairs[(pairs[:, 0] < first) & (pairs[:, 1] >= first), 1]
    count = int(np.isin(copies(sketches)[first:], near).sum())
    if not count:
        return []
    is_near = "is nearly the same as one that is" if count == 1 else "are nearly the same as ones that are"
    return [
        f"{count:,} of the {counted(len(own), 'text')} in {name} {is_near} trained on, such as "
        f"{quoted(own[int(near.min()) - first])}. Figures on them may be too good; better leave them out."
    ]


def _require_each_class(data: LabelledTexts, kept: np.ndarray) -> None:
    if kept.all():
        return
    if not kept.any():
        raise DataError(
            "Every text of the dataset is in validation_file or test_file too, so nothing would be left to train on. "
            "Give other texts there."
        )
    left = np.bincount(data.labels[kept], minlength=len(data.names))  # (classes,)
    if not left.all():
        name = data.names[int(left.argmin())]
        raise DataError(
            f"Every text of the class {quoted(name)} is in validation_file or test_file too, so none would be left to "
            "train on. Give more texts of it."
        )


def _parts(
    data: LabelledTexts, chosen: np.ndarray, alike: np.ndarray, taken: dict[int, float], generator: np.random.Generator
) -> np.ndarray:
    """The part that each text is in, int64 [N]; -1 for those that are not among ``chosen`` [n].

    Args:
        alike: uint64 [N], the group of each text. taken: the share of each part beside that to train on.
    """
    part_of = np.full(len(data.texts), -1, np.int64)
    part_of[chosen] = TRAIN
    if not taken:
        return part_of
    if sum(taken.values()) >= 1.0:
        raise DataError(
            f"validation_split is {taken[VALIDATION]:g} and test_split is {taken[TEST]:g}, so nothing would be left "
            "to train on. Set a smaller one."
        )
    different, group_of = np.unique(alike[chosen], return_inverse=True)  # (groups,), (n,)
    texts = np.zeros((len(different), len(data.names)), np.int64)  # (groups, classes)
    np.add.at(texts, (group_of, data.labels[chosen]), 1)
    class_of = texts.argmax(axis=1)  # (groups,), the class that most texts of the group are of
    part_of_group = np.full(len(different), TRAIN)
    for number, name in enumerate(data.names):
        groups = np.flatnonzero(class_of == number)
        _require_enough(name, len(groups), taken)
        part_of_group[groups] = parts_of_groups(texts[groups].sum(axis=1), taken, generator)
    part_of[chosen] = part_of_group[group_of]
    return part_of


def _require_enough(name: str, groups: int, taken: dict[int, float]) -> None:
    if groups > len(taken):
        return
    parts = [TRAIN, *taken]
    needed = " and ".join(", ".join(f"one {_PURPOSES[part]}" for part in parts).rsplit(", ", 1))
    advice = " or ".join({VALIDATION: "validation_split=0", TEST: "test_split=0"}[part] for part in taken)
    raise DataError(
        f"The class {quoted(name)} has {counted(groups, 'text')} (copies count once, also those with other labels), "
        f"and {len(parts)} are needed: {needed}. Give more texts of it, or set {advice}."
    )


def parts_of_groups(sizes: np.ndarray, taken: dict[int, float], generator: np.random.Generator) -> np.ndarray:
    """The part that each group of texts, such as those of one class, is in, int64 [groups].

    Args:
        sizes: int64 [groups], the texts of each.
    """
    part_of = np.full(len(sizes), TRAIN)
    for number, (part, share) in enumerate(taken.items()):
        free = generator.permutation(np.flatnonzero(part_of == TRAIN))
        spare = len(free) - (len(taken) - number)  # the others leave one for each part that follows, and for training
        target, total = share * sizes.sum(), 0
        for group in free.tolist():
            if spare and 0 < sizes[group] < 2 * (target - total):  # the total comes nearer to the target
                part_of[group] = part
                total += int(sizes[group])
                spare -= 1
        if not total:
            part_of[free[sizes[free].argmin()]] = part
    return part_of


def _examples(data: LabelledTexts, chosen: np.ndarray) -> Examples:
    texts = tuple(data.texts[number] for number in np.flatnonzero(chosen).tolist())
    return Examples(texts=texts, labels=data.labels[chosen])


def _own_or_part(data: LabelledTexts, own: LabelledTexts | None, part_of: np.ndarray, part: int) -> Examples | None:
    if own is not None:
        return Examples(texts=own.texts, labels=own.labels)
    return _examples(data, part_of == part) if (part_of == part).any() else None
