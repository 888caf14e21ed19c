"""The printable character that stands for each byte in a byte-level BPE vocabulary file.

GPT-2's files are text, so each of the 256 bytes needs a visible character: printable Latin-1 stands for itself, the
others take the code points from 256 on, in order (a space is written ``Ġ``). Knows nothing of tokens.
"""

from __future__ import annotations

_VISIBLE = (*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1))


def _symbols() -> tuple[str, ...]:
    hidden = [byte for byte in range(256) if byte not in _VISIBLE]
    symbol_of = {byte: chr(byte) for byte in _VISIBLE} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}
    return tuple(symbol_of[byte] for byte in range(256))


SYMBOLS = _symbols()  # by byte value
_BYTE_OF = {symbol: byte for byte, symbol in enumerate(SYMBOLS)}


def to_symbols(data: bytes) -> str:
    """The spelling of bytes in a vocabulary file."""
    return "".join(SYMBOLS[byte] for byte in data)


def to_bytes(symbols: str) -> bytes | None:
    """The bytes that a spelling in a vocabulary file stands for; None where a character stands for no byte."""
    try:
        return bytes(_BYTE_OF[symbol] for symbol in symbols)
    except KeyError:
        return None
