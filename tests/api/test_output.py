"""Samples on their way to the screen and to files: in their order, as early as possible, and what is kept of a stop."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gpt2simple.api.output import InOrder, new_file, save, show
from gpt2simple.errors import StorageError
from gpt2simple.generation.samples import TextChunk


def pieces(script: str) -> Iterator[TextChunk]:
    """Pieces as "0a 1b 0c.": sample and text, the last of a sample with a dot; "!" is Ctrl-C."""
    for word in script.split():
        if word == "!":
            raise KeyboardInterrupt
        ended = word.endswith(".")
        yield TextChunk(sample=int(word[0]), text=word[1:].rstrip("."), finish_reason="length" if ended else None)


class Screen:
    """What was written, one entry for each write; may refuse, or be interrupted, at the n-th."""

    def __init__(self, at: int | None = None, error: BaseException | None = None) -> None:
        self.writes: list[str] = []
        self._at, self._error = at, error

    def __call__(self, text: str) -> None:
        if self._error is not None and len(self.writes) == self._at:
            self._at = None
            raise self._error
        self.writes.append(text)


def test_pieces_come_in_the_order_of_their_samples_and_the_first_unfinished_one_at_once() -> None:
    in_order, given = InOrder(), []
    for piece in pieces("1a 0b 1c. 2d 0e. 2f 4g 5h. 2i."):
        in_order.add(piece)
        given.append([f"{ready.sample}{ready.text}" for ready in in_order.ready()])
    assert given == [[], ["0b"], [], [], ["0e", "1a", "1c", "2d"], ["2f"], [], [], ["2i"]]
    assert [[piece.text for piece in sample] for sample in in_order.finished_later()] == [["h"]]


def test_the_screen_shows_each_sample_as_early_as_it_can(messages: list[str]) -> None:
    screen = Screen()
    source = pieces("0P 1P 2P 0a 1b. 0c. 2d 2e.")
    show(source, 3, "--\n", screen)
    assert screen.writes == ["P", "a", "c\n--\n", "P", "b\n--\n", "P", "d", "e\n--\n"]
    assert messages == []


def test_the_first_sample_is_on_the_screen_before_the_next_token_is_drawn() -> None:
    screen = Screen()
    source = pieces("0a 1b 0c 1d. 0e. !")

    def watched() -> Iterator[TextChunk]:
        for piece in source:
            yield piece
            if piece.sample == 0:
                assert "".join(screen.writes).rstrip("\n-bd").endswith(piece.text)

    with pytest.raises(KeyboardInterrupt):
        show(watched(), 2, "--\n", screen)
    assert "".join(screen.writes) == "ace\n--\nbd\n--\n"


def test_one_text_ends_with_a_line_end_and_no_delimiter(tmp_path: Path) -> None:
    screen = Screen()
    show(pieces("0a 0b."), 1, "--\n", screen)
    assert "".join(screen.writes) == "ab\n"
    with new_file(tmp_path / "one.txt") as file:
        save(pieces("0a 0b."), 1, "--\n", file)
    assert (tmp_path / "one.txt").read_text() == "ab\n"


def test_a_file_holds_whole_samples_only_each_as_soon_as_its_turn_has_come(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    held: list[str | None] = []

    def watched() -> Iterator[TextChunk]:
        for piece in pieces("0a 1b. 0c 0d. 2e 2f."):
            yield piece
            held.append(path.read_text() if path.exists() else None)

    with new_file(path) as file:
        save(watched(), 3, "--\n", file)
    first = "acd\n--\nb\n--\n"
    assert held == [None, None, None, first, first, first + "ef\n--\n"]


@pytest.mark.parametrize(
    ("script", "total", "shown", "remark"),
    [
        ("0a 1b. 0c !", 3, "ac\n--\nb\n--\n", "Stopped with 1 of 3 samples finished; number 1 is cut short."),
        ("0a. 2b. 1c 3d !", 4, "a\n--\nc\n--\nb\n--\n", "Stopped with 2 of 4 samples finished; number 2 is cut short."),
        ("0a. !", 2, "a\n--\n", "Stopped with 1 of 2 samples finished."),
        ("!", 2, "", "Stopped with 0 of 2 samples finished."),
        ("0a 0b !", 1, "ab\n", "Stopped: the text is cut short."),
    ],
)
def test_a_stop_ends_the_line_shows_what_is_finished_and_says_what_is_cut(
    script: str, total: int, shown: str, remark: str, messages: list[str]
) -> None:
    screen = Screen()
    with pytest.raises(KeyboardInterrupt):
        show(pieces(script), total, "--\n", screen)
    assert "".join(screen.writes) == shown
    assert messages == [remark]


@pytest.mark.parametrize(
    ("script", "kept", "remark"),
    [
        ("0a 1b. 0c. 2d !", "ac\n--\nb\n--\n", "Stopped with 2 of 3 samples finished; they are in {}."),
        ("0a 1b. 2c. !", "b\n--\nc\n--\n", "Stopped with 2 of 3 samples finished; they are in {}."),
        ("0a 1b !", None, "Stopped with 0 of 3 samples finished; {} was not kept."),
    ],
)
def test_a_stop_keeps_every_finished_sample_in_the_file_and_no_half_one(
    tmp_path: Path, script: str, kept: str | None, remark: str, messages: list[str]
) -> None:
    """Ctrl-C after ninety of a hundred samples once left no file at all."""
    path = tmp_path / "out.txt"
    with pytest.raises(KeyboardInterrupt), new_file(path) as file:
        save(pieces(script), 3, "--\n", file)
    assert (path.read_text() if path.exists() else None) == kept
    assert messages == [remark.format(path)]


@pytest.mark.parametrize(
    ("at", "shown", "finished"),
    [(1, "a\n--\nd\n--\n", 1), (2, "ab\n--\nd\n--\n", 1), (3, "abc\n--\n\n--\n", 1)],
)
def test_a_stop_while_text_is_written_loses_no_other_finished_sample(
    at: int, shown: str, finished: int, messages: list[str]
) -> None:
    screen = Screen(at, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        show(pieces("0a 1d. 0b 0c. 2e"), 3, "--\n", screen)
    assert "".join(screen.writes) == shown
    assert messages == [f"Stopped with {finished} of 3 samples finished; number {2 if at == 3 else 1} is cut short."]


def test_nothing_more_is_written_to_what_takes_no_more(tmp_path: Path, messages: list[str]) -> None:
    screen = Screen(at=1, error=BrokenPipeError(errno.EPIPE, "Broken pipe"))
    with pytest.raises(BrokenPipeError):
        show(pieces("0a 1b. 0c. 2d."), 3, "--\n", screen)
    assert (screen.writes, messages) == (["a"], [])

    path = tmp_path / "out.txt"
    with pytest.raises(StorageError, match="full"), new_file(path) as file:  # noqa: PT012 - fails inside, on purpose
        file.append = full_after(file.append, 1)  # type: ignore[method-assign]
        save(pieces("0a. 1b. 2c."), 3, "--\n", file)
    assert path.read_text() == "a\n--\n"
    assert messages == [f"Stopped with 1 of 3 samples finished; they are in {path}."]


def test_a_text_that_could_not_be_written_is_told_by_the_error_alone(messages: list[str]) -> None:
    screen = Screen(at=1, error=StorageError("full"))
    with pytest.raises(StorageError):
        show(pieces("0a 0b."), 1, "--\n", screen)
    assert (screen.writes, messages) == (["a"], [])

    screen = Screen(at=3, error=StorageError("full"))
    with pytest.raises(StorageError):
        show(pieces("0a 0b. 1c. 2d."), 3, "--\n", screen)
    assert messages == ["Stopped with 2 of 3 samples finished."]


def full_after(append: Callable[[str], None], times: int) -> Callable[[str], None]:
    left = [None] * times

    def limited(text: str) -> None:
        if not left:
            raise StorageError("full")
        left.pop()
        append(text)

    return limited
