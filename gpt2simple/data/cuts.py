"""Long documents in parts that can be encoded one by one with the same result.

GPT-2's tokenizer cuts text into words before anything else, and no word reaches across these places:

* before white space that follows something else: only the first blank of a word may be white space;
* between a letter or digit and a full stop, comma and such: words are of one kind. (Not before an apostrophe, which
  may open a contraction.)

So the ids of the parts, one after the other, are the ids of the whole. A text without any such place in a million
characters is no text that people write; it is cut where it is, and only its ids differ, not what they spell.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from gpt2simple.data.pieces import Piece

_LONGEST = 1 << 20  # characters without a place to cut
_SPACE_IN_PYTHON_ONLY = "\x1c\x1d\x1e\x1f"  # str.isspace() counts them; Unicode and the tokenizer do not
_BEFORE_STOP = re.compile(r"[^\W_](?=[,.;:!?。、，…])")


def parts_of(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The same documents in parts of at most about ``size`` characters."""
    held = ""
    for text, ends in pieces:
        held += text
        while len(held) > 2 * size:
            place = _last_place(held, size) or _last_place(held, min(len(held), _LONGEST))
            if not place and len(held) < _LONGEST:
                break
            place = place or _LONGEST
            yield Piece(held[:place], False)
            held = held[place:]
        if ends:
            yield Piece(held, True)
            held = ""


def _last_place(text: str, limit: int) -> int:
    """The last place before ``limit`` where the text may be cut; 0 where there is none."""
    place = limit
    while place > 0:
        place = max(text.rfind(" ", 0, place), text.rfind("\n", 0, place))
        while place > 0 and text[place - 1].isspace():
            place -= 1
        if place > 0 and text[place] not in _SPACE_IN_PYTHON_ONLY:
            return place
    stops = [match.end() for match in _BEFORE_STOP.finditer(text, 0, limit)]
    return stops[-1] if stops else 0
