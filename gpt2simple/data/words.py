"""What a word is, wherever texts are compared, and hashes of words and of n-grams.

Words are runs of letters and digits with their combining marks, without regard to case, in Unicode's composed form
(NFC), as in section 4 of the GPT-2 paper. In scripts that put no spaces between words each character is a word.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import regex

_START = r"[\p{L}\p{N}]"
_INSIDE = r"[\p{L}\p{N}\p{M}\u200c\u200d]"  # the last two join letters: in Persian and in the scripts of India
_WITHOUT_BLANKS = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]"
_CHARACTER = rf"[{_START}&&{_WITHOUT_BLANKS}]"
WORD = regex.compile(
    rf"[a-z0-9[{_START}--{_WITHOUT_BLANKS}]][a-z0-9[{_INSIDE}--{_WITHOUT_BLANKS}]]*|{_CHARACTER}\p{{M}}*",
    regex.VERSION1,  # sets with -- and &&
)
WORD_ENDS = regex.compile(rf"[^{_INSIDE}]|{_CHARACTER}", regex.VERSION1)
# Latin, Greek and Cyrillic without combining marks, and usual punctuation: the same words, found in half the time.
_PLAIN_TEXT = re.compile("[\x00-\u02ff\u0370-\u0482\u048a-\u052f\u2010-\u2027\u2030-\u205e\u20a0-\u20bf]*")
_PLAIN_WORD = re.compile(r"[^\W_]+")

_COMPOSES = regex.compile(r"[\p{M}\u1100-\u11ff]")  # with what is before it: marks, and parts of Korean syllables

# Kinds of characters, for `hashed_units`; the others are white space and punctuation.
_LETTER, _ALONE, _SYMBOL, _MARK = range(1, 5)
_OF_KIND = {_SYMBOL: r"\p{S}", _MARK: _INSIDE, _LETTER: _START, _ALONE: _CHARACTER}  # the later ones take precedence

BASE = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2**64
_INVERSE = pow(BASE, -1, 1 << 64)
_CHUNK = 8  # bytes of a word that are hashed at once
_LONG = 64  # bytes; longer words are hashed one by one


class Units(NamedTuple):
    """The words and symbols of several texts, one after the other.

    Attributes:
        hashes: uint64 [U], equal for equal words.
        words: bool [U], whether it is a word.
        bounds: int64 [texts + 1], where in ``hashes`` each text begins and the last one ends.
    """

    hashes: np.ndarray
    words: np.ndarray
    bounds: np.ndarray


def find_words(text: str) -> list[str]:
    """The words of a text, as they stand in it."""
    return (_PLAIN_WORD if _PLAIN_TEXT.fullmatch(text) else WORD).findall(text)


def hashed_units(texts: Sequence[str]) -> Units:
    """The words and symbols (such as + and emoji) of texts, hashed by NumPy, many texts at a time.

    The words are those that `WORD` finds, at a small part of the time that encoding a text takes.
    """
    encoded = [_folded(text) for text in texts]
    joined = b"\n".join([*encoded, b"\0" * _CHUNK])  # so that eight bytes can be read from the start of any word
    kinds, begins = _kinds(joined)
    begins &= kinds > _LETTER
    letters = kinds == _LETTER
    begins[1:] |= letters[1:] & ~letters[:-1]
    begins[0] |= letters[0]
    edges = begins.copy()  # where something begins, or what stands between words
    edges[1:] |= (kinds[1:] == 0) & (kinds[:-1] > 0)
    places = np.flatnonzero(edges)  # (edges,)
    opens = np.flatnonzero(begins[places])  # (U,)
    starts = places[opens]  # (U,)
    hashes = _chunks_hash(joined, starts, places[opens + 1] - starts)
    ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1)  # (texts,)
    return Units(hashes, kinds[starts] != _SYMBOL, np.append(0, np.searchsorted(starts, ends)))


def _folded(text: str) -> bytes:
    """The text as UTF-8, without its case and in composed form."""
    utf8 = text.encode("utf-8", "surrogatepass")
    if utf8.isascii():
        return utf8.lower()
    different = "".join(set(_of_several_bytes(utf8)))
    if _COMPOSES.search(different) or unicodedata.normalize("NFC", different) != different:
        return folded(text).encode("utf-8", "surrogatepass")
    # Nothing to compose, and often only quotes and dashes: folding the rest as bytes takes a tenth of the time.
    return utf8.lower() if different.casefold() == different else text.casefold().encode("utf-8", "surrogatepass")


def folded(text: str) -> str:
    """The text without its case and in composed form: equal for equal words."""
    return unicodedata.normalize("NFC", text).casefold()


def _of_several_bytes(utf8: bytes) -> str:
    """The characters that are not in ASCII."""
    return utf8.translate(None, bytes(range(0x80))).decode("utf-8", "surrogatepass")


def _kinds(utf8: bytes) -> tuple[np.ndarray, np.ndarray]:
    """The kind of each byte [N], that of its character; and whether a character other than a mark begins there."""
    table = _kinds_of_points()
    kinds = np.frombuffer(bytearray(utf8.translate(table[:256].tobytes())), np.uint8)  # (N,)
    begins = np.ones(len(kinds), bool)
    if utf8.isascii():
        return kinds, begins
    found = np.frombuffer(utf8, np.uint8)  # (N,)
    first = np.flatnonzero(found >= 0xC0)  # (F,), the first bytes of characters of several bytes
    several = _of_several_bytes(utf8).encode("utf-32-le", "surrogatepass")
    of_character = table[np.frombuffer(several, "<u4")]  # (F,)
    begins[(found & 0xC0) == 0x80] = False
    begins[first[of_character == _MARK]] = False
    for offset, least in enumerate((0xC0, 0xC0, 0xE0, 0xF0)):  # of first bytes before so many others
        long_enough = found[first] >= least
        kinds[first[long_enough] + offset] = of_character[long_enough]
    if (of_character == _MARK).any():  # a mark is of the kind of the character that it stands on
        kinds = kinds[np.maximum.accumulate(np.where(begins, np.arange(len(kinds)), 0))]
        kinds[kinds == _MARK] = 0  # on nothing, at the beginning
    return kinds, begins


@functools.cache
def _kinds_of_points() -> np.ndarray:
    """The kind of each code point, uint8 [0x110000]."""
    everything = np.arange(0x110000, dtype="<u4").tobytes().decode("utf-32-le", "surrogatepass")
    kinds = np.zeros(len(everything), np.uint8)
    for kind, characters in _OF_KIND.items():
        for found in regex.finditer(rf"{characters}+", everything, regex.VERSION1):
            kinds[found.start() : found.end()] = kind
    return kinds


def _chunks_hash(data: bytes, starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """A hash of each of the words in ``data`` that start there [U] and have so many bytes [U]."""
    chunks = np.ndarray(len(data) - _CHUNK + 1, "<u8", data, strides=(1,))  # at every byte, the eight from there on
    hashes = mixed((chunks[starts] & _MASKS[np.minimum(lengths, _CHUNK)]) * np.uint64(BASE))  # (U,)
    longer = np.flatnonzero(lengths > _CHUNK)
    for done in range(_CHUNK, _LONG, _CHUNK):
        if not len(longer):
            return hashes
        chunk = chunks[starts[longer] + done] & _MASKS[np.minimum(lengths[longer] - done, _CHUNK)]
        hashes[longer] = mixed((hashes[longer] + chunk) * np.uint64(BASE))
        longer = longer[lengths[longer] > done + _CHUNK]
    for word in longer.tolist():
        hashes[word] = bytes_hash(data[starts[word] : starts[word] + lengths[word]])
    return hashes


_MASKS = np.array([(1 << 8 * count) - 1 for count in range(_CHUNK + 1)], np.uint64)


def bytes_hash(data: bytes) -> int:
    """A hash of 64 bits."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


def mixed(hashes: np.ndarray) -> np.ndarray:
    """Hashes uint64 whose low bits depend on all bits (Steele et al. 2014, a part of SplitMix)."""
    hashes = (hashes ^ (hashes >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return hashes ^ (hashes >> np.uint64(31))


def spans_hash(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """A hash of each span of values, uint64 [N], from one bound to the next: a polynomial in `BASE` modulo 2**64.

    That of two spans in a row is that of the first plus ``BASE ** length_of_the_first`` times that of the second.
    """
    powers, inverses = _powers(1 << len(values).bit_length())
    sums = np.zeros(len(values) + 1, np.uint64)
    np.cumsum(values * powers[: len(values)], out=sums[1:])
    return (sums[bounds[1:]] - sums[bounds[:-1]]) * inverses[bounds[:-1]]


@functools.lru_cache(maxsize=4)
def _powers(length: int) -> list[np.ndarray]:
    """``BASE`` and its inverse to the power of 0 to ``length``."""
    return [np.multiply.accumulate(np.array([1] + [base] * length, np.uint64)) for base in (BASE, _INVERSE)]


def gram_hashes(words: np.ndarray, n: int) -> np.ndarray:
    """A hash of the n-gram at each place, uint64 [max(len - n + 1, 0)] (Karp and Rabin 1987)."""
    count = max(len(words) - n + 1, 0)
    values = words.astype(np.int64).view(np.uint64)  # (len,)
    hashes = np.zeros(count, np.uint64)
    factor = 1
    for offset in range(n):
        factor = factor * BASE % (1 << 64)
        hashes += values[offset : offset + count] * np.uint64(factor)
    return hashes
