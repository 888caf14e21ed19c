"""Files damaged at random, the same for the same seed: what disks, copies and people who mean harm do to them."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from tests.helpers.hostile import VALUES

NUMBERS = (b"1e999", b"-1", b"0", b"9" * 400, b"2147483648", b"9223372036854775808", b"NaN", b"-Infinity", b"1.5")
SIZES = (0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def _flip(draw: Random, data: bytearray, _other: bytes) -> bytes:
    for _ in range(draw.choice((1, 1, 1, 8, 200))):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(data)


def _truncate(draw: Random, data: bytearray, _other: bytes) -> bytes:
    return bytes(data[: draw.randrange(len(data))])


def _insert(draw: Random, data: bytearray, _other: bytes) -> bytes:
    place = draw.randrange(len(data))
    what = draw.choice((draw.randbytes(draw.choice((1, 4, 300))), bytes(64), b"\xff" * 64, b"\xf0\x9f", b"\r\n" * 9))
    return bytes(data[:place] + what + data[place:])


def _remove(draw: Random, data: bytearray, _other: bytes) -> bytes:
    start, end = sorted(draw.randrange(len(data) + 1) for _ in range(2))
    return bytes(data[:start] + data[end:])


def _swap(draw: Random, data: bytearray, _other: bytes) -> bytes:
    size = draw.choice((1, 4, 64))
    one, two = (draw.randrange(max(len(data) - size, 1)) for _ in range(2))
    data[one : one + size], data[two : two + size] = data[two : two + size], data[one : one + size]
    return bytes(data)


def _splice(draw: Random, data: bytearray, other: bytes) -> bytes:
    return bytes(data[: draw.randrange(len(data))]) + other[draw.randrange(len(other)) :]


def _replace(draw: Random, data: bytearray, other: bytes) -> bytes:
    size = len(data)
    return draw.choice((b"", bytes(size), draw.randbytes(size), other, b"\x80\x04" + bytes(data), b"[" * 100_000))


def _number(draw: Random, data: bytearray, _other: bytes) -> bytes:
    """Another number in the place of one written in digits."""
    places = [place for place, byte in enumerate(data[:100_000]) if 48 <= byte <= 57]
    if not places:
        return _size(draw, data, _other)
    start = end = draw.choice(places)
    while end < len(data) and 48 <= data[end] <= 57:
        end += 1
    return bytes(data[:start]) + draw.choice((*NUMBERS, str(draw.randrange(10)).encode())) + bytes(data[end:])


def _size(draw: Random, data: bytearray, _other: bytes) -> bytes:
    """A lie about a size or place, where binary formats have theirs: near the beginning or the end."""
    form = draw.choice(("<H", "<I", "<Q", ">I"))
    width = struct.calcsize(form)
    near = min(len(data), 200)
    place = draw.choice((draw.randrange(near), len(data) - 1 - draw.randrange(near)))
    data[place : place + width] = struct.pack(form, draw.choice(SIZES) % (1 << 8 * width))
    return bytes(data)


def _json(draw: Random, data: bytearray, other: bytes) -> bytes:
    """Another value, or none, somewhere in an object or list; in JSON Lines, in one of the lines."""
    lines = bytes(data).split(b"\n")
    number = draw.randrange(len(lines))
    try:
        value = json.loads(lines[number] if len(lines) > 1 and lines[number] else bytes(data))
        whole = len(lines) == 1 or not lines[number]
    except ValueError:
        try:
            value, whole = json.loads(bytes(data)), True
        except ValueError:
            return _number(draw, data, other)
    places = list(_places(value))
    if not places:
        return _number(draw, data, other)
    holder, key = draw.choice(places)
    what = draw.choice((*VALUES, KeyError, "deep", "twin", "\ud83d", "../" * 9 + "etc"))
    if what is KeyError:
        del holder[key]
    elif what == "twin" and isinstance(holder, dict):
        holder[f"{key}2"] = holder[key]
    else:
        holder[key] = _deep() if what == "deep" else what
    changed = json.dumps(value).encode()
    return changed if whole else b"\n".join([*lines[:number], changed, *lines[number + 1 :]])


def _deep() -> Any:
    value: Any = 1
    for _ in range(400):
        value = [value]
    return value


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found += [(value, key), *(_places(value[key]) if len(found) < 500 else [])]
    return found


def _bomb(draw: Random, data: bytearray, _other: bytes) -> bytes:
    packed = bytes(data)
    content = draw.choice((bytes(1 << 22), b" " * (1 << 22), b"[" * (1 << 20), b'"' + b"x" * (1 << 21), packed))
    for _ in range(draw.choice((1, 1, 2, 6))):
        content = gzip.compress(content)
    return content


Change = Callable[[Random, bytearray, bytes], bytes]
CHANGES: dict[str, Change] = {
    "flip": _flip, "truncate": _truncate, "insert": _insert, "remove": _remove, "swap": _swap, "splice": _splice,
    "replace": _replace, "number": _number, "size": _size, "json": _json, "bomb": _bomb,
}  # fmt: skip


def changed(draw: Random, data: bytes, other: bytes) -> tuple[str, bytes]:
    """The name of a change, and the content of a file after it; half of the time inside of what it packs.

    Args:
        other: content of another file, to splice with.
    """
    if draw.random() < 0.5 and (packing := _packing(data)):
        unpacked, pack = packing
        name, inner = changed(draw, unpacked, other)
        return f"packed {name}", pack(inner)
    name = draw.choice(list(CHANGES))
    return name, CHANGES[name](draw, bytearray(data or b"\0"), other or b"\0")


def _packing(data: bytes) -> tuple[bytes, Callable[[bytes], bytes]] | None:
    """What a whole compressed file or archive holds, and how to pack it again."""
    if data.startswith(b"\x1f\x8b"):
        return gzip.decompress(data), gzip.compress
    if data.startswith(b"\xfd7zXZ"):
        return lzma.decompress(data), lzma.compress
    if not data.startswith(b"PK\x03\x04"):
        return None
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    first = next(iter(parts))

    def pack(content: bytes) -> bytes:
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as archive:
            for name, part in parts.items():
                archive.writestr(name, content if name == first else part)
        return written.getvalue()

    return parts[first], pack


def damage_one(draw: Random, folder: Path) -> tuple[str, str]:
    """Damage one file of a folder; its name, and what was done to it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    path, other = draw.choice(files), draw.choice(files)
    shown = str(path.relative_to(folder))
    if draw.random() < 0.08:
        return shown, _damage_entry(draw, path, other)
    name, content = changed(draw, path.read_bytes(), other.read_bytes())
    path.unlink()  # not in place: some files are names of one content
    path.write_bytes(content)
    return shown, name


def _damage_entry(draw: Random, path: Path, other: Path) -> str:
    how = draw.choice(("missing", "folder", "loop", "dangling", "swapped"))
    if how == "swapped" and other != path:
        spare = path.with_name(".spare")
        path.rename(spare)
        shutil.copyfile(other, path)
        other.unlink()
        spare.rename(other)
        return how
    path.unlink()
    if how == "folder":
        path.mkdir()
    elif how in ("loop", "dangling"):
        os.symlink(path if how == "loop" else path.with_name("nowhere"), path)
    return how
