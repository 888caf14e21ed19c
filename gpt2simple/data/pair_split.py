"""Which pairs are trained on, which training is evaluated on, and which the finished model is tested on.

Pairs with the same prompt stay together, and so do all of conversations that begin alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpt2simple.data.folder_parts import dataset_parts
from gpt2simple.data.label_split import TEST, TRAIN, VALIDATION, parts_of_groups
from gpt2simple.data.pairs import Pairs, read_pairs
from gpt2simple.data.prompt_template import ASSISTANT, USER, Message
from gpt2simple.data.readers.pairs import Pair
from gpt2simple.errors import DataError
from gpt2simple.settings.pairs import PairTextSettings
from gpt2simple.storage.contents import counted, json_digest

_PURPOSES = {VALIDATION: "to validate", TEST: "to test"}


@dataclass(frozen=True, kw_only=True, eq=False)
class PairSplit:
    """Pairs in up to three parts; a part that was not asked for is None."""

    train: tuple[Pair, ...]
    validation: tuple[Pair, ...] | None
    test: tuple[Pair, ...] | None

    def check(self) -> str:
        """One line for the user: how many pairs occur several times, and how many held-out prompts are trained on."""
        held_out = {"validation": self.validation, "test": self.test}
        everything = [*self.train, *(self.validation or ()), *(self.test or ())]
        repeated = sum(number - 1 for number in Counter(map(_content, everything)).values())
        trained = set(map(_prompt, self.train))
        seen = {
            name: (sum(_prompt(pair) in trained for pair in part), len(part)) for name, part in held_out.items() if part
        }
        said = [
            "no pair occurs twice" if not repeated else f"{counted(repeated, 'pair repeats', 'pairs repeat')} another"
        ]
        if not any(number for number, _ in seen.values()):
            said += ["no held-out prompt is in training"] if seen else []
        else:
            said += [
                f"{number:,} of {counted(total, f'{name} prompt')} {'is' if number == 1 else 'are'} in training too"
                for name, (number, total) in seen.items()
                if number
            ]
        return f"Copies: {'; '.join(said)}."


@dataclass(frozen=True, kw_only=True)
class PairData:
    """A dataset of pairs, with the user's own pairs to evaluate training on and to test on, if there are any.

    Attributes:
        sources: as the user named the dataset: the folder where that has parts.
        messages: for the user, on where the parts are from.
    """

    pairs: Pairs
    validation: Pairs | None
    test: Pairs | None
    settings: PairTextSettings
    sources: tuple[str, ...]
    messages: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """Identifies the pairs to train and to test on, which decide together which pair is in which part."""
        one = self.pairs.fingerprint
        return one if self.test is None else json_digest([one, self.test.fingerprint])

    @property
    def validation_fingerprint(self) -> str | None:
        """Of the user's own pairs to validate with; None: there are none."""
        return None if self.validation is None else self.validation.fingerprint

    def split(self, seed: int) -> PairSplit:
        """Its three parts; the seed decides which pairs are in which.

        Raises:
            DataError: there are too few prompts.
        """
        pairs = self.pairs.pairs
        shares = {VALIDATION: self.settings.validation_split, TEST: self.settings.test_split}
        own = {VALIDATION: self.validation, TEST: self.test}
        taken = {part: share for part, share in shares.items() if own[part] is None and share > 0.0}
        part_of = _parts(pairs, taken, np.random.default_rng(seed))  # (N,)

        def part(number: int) -> tuple[Pair, ...]:
            return tuple(pairs[place] for place in np.flatnonzero(part_of == number).tolist())

        def held_out(number: int) -> tuple[Pair, ...] | None:
            if (given := own[number]) is not None:
                return given.pairs
            return part(number) if number in taken else None

        return PairSplit(train=part(TRAIN), validation=held_out(VALIDATION), test=held_out(TEST))


def open_pairs(dataset: Any, settings: PairTextSettings) -> PairData:
    """Read a dataset, and the user's own pairs to validate and test with; one that was read already stays as it is.

    A folder with train.jsonl, valid.jsonl and test.jsonl, as `folder_parts` describes it, is its three parts; a file
    that the settings name takes the place of one of them.

    Raises:
        DataError: one cannot be read, or the parts of a folder are not certain.
        SettingsError: as of `read_pairs`.
    """
    if isinstance(dataset, PairData):
        return dataset
    parts = dataset_parts(dataset, validation=settings.validation_file, test=settings.test_file)
    pairs, messages = read_pairs(parts.train, settings), list(parts.messages)

    def own(part: str, name: Any) -> Pairs | None:
        if name is None:
            return None
        found = read_pairs(name, settings, template=pairs.template)
        if found.format != pairs.format:
            messages.append(
                f"The {part} pairs have the format {found.format}, those to train on {pairs.format}; all are written "
                f"by the template of these, {pairs.template.name}."
            )
        return found

    validation, test = own("validation", parts.validation), own("test", parts.test)
    return PairData(
        pairs=pairs,
        validation=validation,
        test=test,
        settings=settings,
        sources=pairs.sources if parts.folder is None else (str(parts.folder),),
        messages=tuple(messages),
    )


def _parts(pairs: tuple[Pair, ...], taken: dict[int, float], generator: np.random.Generator) -> np.ndarray:
    """The part that each pair is in, int64 [N].

    Args:
        taken: the share of each part beside that to train on.
    """
    numbers: dict[Any, int] = {}
    group_of = np.array([numbers.setdefault(_root(pair), len(numbers)) for pair in pairs], np.int64)  # (N,)
    if len(numbers) <= len(taken):
        needed = ", ".join(["one to train on", *(f"one {_PURPOSES[part]}" for part in taken)])
        advice = " and ".join({VALIDATION: "validation_split=0", TEST: "test_split=0"}[part] for part in taken)
        raise DataError(
            f"The dataset has {counted(len(numbers), 'prompt')} (copies count once), and {len(taken) + 1} are needed: "
            f"{needed}. Give more pairs, or set {advice}."
        )
    return parts_of_groups(np.bincount(group_of), taken, generator)[group_of]


def _root(pair: Pair) -> Any:
    """What pairs of one group have in common: the messages up to the first answer, as `_key` has them.

    Pairs with the same prompt have that, and so have all pairs of a conversation but those before its first question:
    the greeting with which an assistant opens every conversation must not make one group of them all.
    """
    asked = False
    for number, message in enumerate(pair.messages):
        if message.role == ASSISTANT and asked:
            return _key(pair.messages[:number])
        asked = asked or message.role == USER
    return _key(pair.messages)


def _prompt(pair: Pair) -> Any:
    return _key(pair.messages)


def _content(pair: Pair) -> Any:
    return _key(pair.messages), pair.completion


def _key(messages: Iterable[Message]) -> Any:
    """Messages for comparing: case and white space make no difference."""
    return tuple((role, " ".join(content.casefold().split())) for role, content in messages)
