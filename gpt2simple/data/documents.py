"""Documents as a stream of text parts, and the rules that hold for every source.

1. Windows line ends become ``\\n``: GPT-2 hardly ever saw ``\\r\\n``, and it would learn to write both. The same holds
   for every other text that a model reads or writes: see ``plain_line_ends``.
2. ``<|endoftext|>``, with one line end after it, ends a document wherever it occurs; the token takes its place, never
   its spelling. (``<|startoftext|>``, which is no token of GPT-2, stays ordinary text, so that it works as a prefix.)
3. A document of nothing but white space is left out.

Long documents are cut into parts that are encoded one by one with the same result. GPT-2's tokenizer first splits text
into words, and no word spans these places:

* before white space that follows something else: only the first character of a word may be a space;
* between a letter or digit and a full stop, comma and such: words are of one kind. (Not before an apostrophe, which
  may open a contraction.)

Nor does an added token of the vocabulary, such as ``<speaker 1>``: its tokenizer is asked before a text is cut there.

A text without any such place in a million characters is not one that people write. It is cut all the same: its ids may
then differ, but not the text that they decode to. Knows neither files nor tokens.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from gpt2simple.errors import DataError
from gpt2simple.gpt2.tokenizer.vocabulary import END_OF_TEXT

END_MARK = END_OF_TEXT
_BOUNDARY = re.compile(re.escape(END_MARK) + r"\n?")
_MOST_BLANKS = 1 << 26  # characters kept until something else comes; a packed file can hold more than the memory does
_UNFINISHED = tuple((END_MARK + "\n")[:n] for n in range(len(END_MARK), 0, -1))


class TextPart(NamedTuple):
    """Some text of a document, and whether the document ends with it."""

    text: str
    ends: bool = True


class LabelledPart(TextPart):
    """A whole document with its label; None: it has none, and no text either."""

    label: str | None

    def __new__(cls, text: str, label: str | None) -> LabelledPart:
        part = super().__new__(cls, text)
        part.label = label  # beside the tuple: most of what takes parts knows of no labels
        return part


def plain_line_ends(text: str) -> str:
    """The text with ``\\n`` for each ``\\r\\n``, as in every text that is trained on; a lone ``\\r`` stays."""
    return text.replace("\r\n", "\n")


def without_end_marks(text: str, mark: str = END_MARK) -> str:
    """The text without the mark at its end, or but for white space at its end; itself where there is none.

    ``<|endoftext|>``, which is no text, goes however often it is there, with the white space around it. Any other mark
    is removed once: a text that ends in "..." ends in two full stops and the mark.
    """
    stripped, bare = text.rstrip(), mark.rstrip()
    if mark != END_MARK:
        if text.endswith(mark):
            return text.removesuffix(mark)
        return stripped.removesuffix(bare) if bare and stripped.endswith(bare) else text
    if not stripped.endswith(mark):
        return text
    while stripped.endswith(mark):
        stripped = stripped.removesuffix(mark).rstrip()
    return stripped


def documents(parts: Iterable[TextPart]) -> Iterator[TextPart]:
    """The parts after the three rules; a document may come in one part or in many."""
    return _without_blank(_split_at_marks(parts))


def _split_at_marks(parts: Iterable[TextPart]) -> Iterator[TextPart]:
    held = ""  # the end of the last part where it may be the beginning of a line end or an end mark
    for text, ends in parts:
        text = plain_line_ends(held + text)
        keep = 0 if ends else _unfinished(text)
        held = text[len(text) - keep :]
        *whole, rest = _BOUNDARY.split(text[: len(text) - keep])
        for document in whole:
            yield TextPart(document)
        if rest or ends:
            yield TextPart(rest, ends)


def _unfinished(text: str) -> int:
    """How many characters at the end may belong to something that the next part completes."""
    if text.endswith("\r"):
        return len(END_MARK) + 1 if text.endswith(END_MARK + "\r") else 1
    return next((len(start) for start in _UNFINISHED if text.endswith(start)), 0)


def _without_blank(parts: Iterable[TextPart]) -> Iterator[TextPart]:
    blank: list[str] = []  # white space that opens a document of which nothing else is known yet
    blanks, open_document = 0, False
    for text, ends in parts:
        if not open_document and (not text or text.isspace()):
            blank, blanks = ([], 0) if ends else ([*blank, text], blanks + len(text))
            if blanks > _MOST_BLANKS:
                raise DataError(
                    f"A document begins with more than {_MOST_BLANKS:,} characters of white space. Remove them."
                )
            continue
        yield TextPart("".join(blank) + text, ends) if blank else TextPart(text, ends)
        blank, blanks, open_document = [], 0, not ends


MayCut = Callable[[str, int], bool]
_SPACE_IN_PYTHON_ONLY = "\x1c\x1d\x1e\x1f"  # str.isspace() counts them; Unicode and the tokenizer do not
_BEFORE_STOP = re.compile(r"[^\W_](?=[,.;:!?。、，…])")


def cut_anywhere(text: str, place: int) -> bool:
    """Every place where no word is will do."""
    return True


def split_long(
    parts: Iterable[TextPart], size: int, *, longest: int = 1 << 20, may_cut: MayCut = cut_anywhere
) -> Iterator[TextPart]:
    """The same documents in parts of at most about ``size`` characters, ``longest`` where there is no place to cut.

    Args:
        may_cut: whether a text may be cut at a place where no word is; a vocabulary may have tokens of several words.
    """
    held = ""
    for text, ends in parts:
        held, start = held + text, 0
        while len(held) - start > 2 * size:
            place = _last_place(held, start, start + size, may_cut)
            place = place or _last_place(held, start, start + longest, may_cut)
            if not place and len(held) - start < longest:
                break
            place = place or start + longest
            yield TextPart(held[start:place], False)
            start = place
        held = held[start:]  # once for each text: a long one would be copied often
        if ends:
            yield TextPart(held)
            held = ""


def _last_place(text: str, start: int, limit: int, may_cut: MayCut) -> int:
    """The last place between ``start`` and ``limit`` where the text may be cut; 0 where there is none."""
    place = min(limit, len(text))
    while place > start:
        place = max(text.rfind(" ", start, place), text.rfind("\n", start, place))
        while place > start and text[place - 1].isspace():
            place -= 1
        if place > start and text[place] not in _SPACE_IN_PYTHON_ONLY and may_cut(text, place):
            return place
    stops = [match.end() for match in _BEFORE_STOP.finditer(text, start, limit)]
    return next((stop for stop in reversed(stops) if may_cut(text, stop)), 0)
