"""What callers pass: NumPy's numbers and paths are taken, all else that does not fit is one clear SettingsError."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gpt2simple
from gpt2simple.errors import SettingsError, StorageError
from gpt2simple.settings import (
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    SessionSettings,
    TextSettings,
    accepts,
    to_json,
)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (FinetuneSettings(steps=np.int64(5)).steps, 5),
        (FinetuneSettings(learning_rate=np.float32(1e-4)).learning_rate, float(np.float32(1e-4))),
        (FinetuneSettings(overwrite=np.bool_(True)).overwrite, True),
        (FinetuneSettings(seed=np.array(7, dtype=np.uint16)).seed, 7),
        (FinetuneSettings(eval_every=np.int8(3)).eval_every, 3),
        (FinetuneSettings(schedule=np.str_("cosine"), epochs=np.float64(2)).schedule, "cosine"),
        (FinetuneSettings(restore_from=Path("models", "own")).restore_from, str(Path("models", "own"))),
        (GenerateSettings(length=np.int64(5)).length, 5),
        (GenerateSettings(temperature=np.float16(0.5)).temperature, 0.5),
        (EvaluateSettings(stride=np.uint8(9)).stride, 9),
        (CompareSettings(batch_size=np.int32(2)).batch_size, 2),
        (SessionSettings(model_dir=Path("m")).model_dir, "m"),
        (TextSettings(validation_split=np.float32(0.25)).validation_split, 0.25),
        (TextSettings(cache_dir=Path("c"), column=np.int64(1)).column, 1),
    ],
)  # fmt: skip
def test_numbers_of_numpy_and_paths_are_kept_as_plain_values(given: Any, kept: Any) -> None:
    assert (given, type(given)) == (kept, type(kept))


def test_a_setting_of_numpy_is_recorded_as_a_plain_number() -> None:
    recorded = to_json(FinetuneSettings(learning_rate=np.float32(1e-4), steps=np.int64(3)))
    assert json.loads(json.dumps(recorded)) == recorded


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": True}, r"^steps is True; expected int\.$"),
        ({"steps": np.True_}, r"^steps is True; expected int\.$"),
        ({"steps": np.float64(5)}, r"^steps is 5\.0; expected int\.$"),
        ({"steps": np.array([5])}, r"^steps is array\(\[5\]\); expected int\.$"),
        ({"steps": 10**400}, r"^steps is a number of 1,329 bits; expected a number of at most 64 bits\.$"),
        ({"steps": 10**5000}, r"^steps is a number of 16,610 bits; expected"),
        ({"learning_rate": 10**400}, r"^learning_rate is a number of 1,329 bits; expected"),
        ({"learning_rate": np.float32("nan")}, r"^learning_rate is nan; expected a finite number"),
        ({"restore_from": "a\0b"}, r"^restore_from is 'a\\x00b'; expected the name of a file or folder, without NUL"),
        ({"restore_from": Path("a\udc00\ud800")}, r"^restore_from is .*; expected the name of a file or folder"),
        ({"schedule": "x" * 100_000}, r"^schedule is 'x{1,60}\.\.\.x*'; expected 'constant', 'linear' or 'cosine'\.$"),
        ({"schedule": [["x"] * 1000] * 1000}, r"^schedule is \[\['x', .{1,80}; expected str\.$"),
    ],
)
def test_what_no_setting_can_be_is_refused_in_one_short_sentence(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        FinetuneSettings(**settings)


@accepts()
def call(
    path: str | Path = "",
    *,
    names: str | Sequence[str] = "",
    count: int = 1,
    text: str | None = None,
    flag: bool = False,
    error: OSError | None = None,
) -> Any:
    if error is not None:
        raise error
    return path, count, text, flag


def test_a_separator_of_another_type_is_refused_like_any_setting() -> None:
    with pytest.raises(SettingsError, match=r"^delimiter is array\(\[1, 2\]\); expected str\.$"):
        TextSettings(delimiter=np.array([1, 2]))


def test_arguments_are_checked_by_their_annotations() -> None:
    assert call(Path("a"), count=np.int64(3), flag=np.False_) == (Path("a"), 3, None, False)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"path": 3}, r"^path is 3; expected Path or str\.$"),
        (
            {"path": "a\0"},
            r"^path is 'a\\x00'; expected the name of a file or folder, without NUL or half a surrogate pair",
        ),
        ({"path": b"a"}, r"^path is b'a'; expected Path or str\.$"),
        ({"count": "3"}, r"^count is '3'; expected int\.$"),
        ({"count": True}, r"^count is True; expected int\.$"),
        ({"count": None}, r"^count is None; expected int\.$"),
        ({"count": 1 << 64}, r"^count is 18446744073709551616; expected a number of at most 64 bits\.$"),
        ({"text": "\ud800"}, r"^text is '\\ud800'; expected a string of valid Unicode\.$"),
        ({"text": {}}, r"^text is \{\}; expected str\.$"),
        ({"names": [1]}, r"^names is \[1\]; expected a list of strings or str\.$"),
        ({"names": ("a", "\ud800")}, r"^names is .*; expected a list of strings or str\.$"),
        ({"names": b"ab"}, r"^names is b'ab'; expected a list of strings or str\.$"),
        ({"flag": 1}, r"^flag is 1; expected bool\.$"),
    ],
)
def test_an_argument_of_another_type_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        call(**given)


def test_a_call_that_python_refuses_is_refused_by_python() -> None:
    with pytest.raises(TypeError, match=r"call\(\) got an unexpected keyword argument 'cuont'"):
        call(cuont=3)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (OSError(errno.ENAMETOOLONG, "File name too long", "aa"), r"^aa cannot be used: the name is too long for this"),
        (NotADirectoryError(errno.ENOTDIR, "", "a/b"), r"^a/b cannot be used: a part of the path is a file, where a"),
        (IsADirectoryError(errno.EISDIR, "", b"dir"), r"^dir cannot be used: it is a folder, where a file is needed\."),
        (
            PermissionError(errno.EACCES, "", "x"),
            r"^x cannot be used: there is no permission\. Choose a folder of your",
        ),
        (FileNotFoundError(errno.ENOENT, "", "x"), r"^x cannot be used: there is no such file or folder\. Check the"),
        (OSError(errno.EROFS, "", "x"), r"^x cannot be used: it is on a read-only disk\. Choose a folder that can be"),
        (OSError(errno.ENOSPC, ""), r"^A file cannot be used: the disk is full\. Free some space or choose a folder"),
        (OSError(errno.EMFILE, "", "x"), r"^x cannot be used: too many files are open\. Close some"),
        (
            OSError(errno.ELOOP, "Too many levels", "x"),
            r"^x cannot be used: it is a link, or its links lead in a circle\. R",
        ),
        (OSError("no number"), r"^A file cannot be used: no number\. Check the name and the disk\.$"),
        (OSError(errno.EIO, "", "a", None, "b"), r"^a and b cannot be used: the device reported a failure\."),
    ],
)
def test_an_error_of_the_disk_leaves_a_call_with_advice(error: OSError, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        call(error=error)
    assert (caught.value.__cause__, caught.value.errno) == (error, error.errno)


@pytest.mark.parametrize("error", [StorageError("ours"), BrokenPipeError(errno.EPIPE, "Broken pipe")])
def test_our_own_errors_and_a_closed_pipe_pass(error: OSError) -> None:
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the very error
        call(error=error)
    assert caught.value is error


def public_calls() -> list[tuple[str, Callable[..., Any]]]:
    import gpt2simple.compat as compat

    of_package = [(name, getattr(gpt2simple, name)) for name in gpt2simple.__all__]
    of_compat = [(f"compat.{name}", getattr(compat, name)) for name in compat.__all__]
    of_session = [(f"Session.{name}", call) for name, call in vars(gpt2simple.Session).items() if name[0] != "_"]
    calls = [*of_package, *of_compat, *of_session]
    return [(name, call) for name, call in calls if callable(call) and not isinstance(call, type)]


def test_every_public_call_checks_its_arguments() -> None:
    """So that the next one cannot forget it: what has arguments is declared with `accepts`."""
    unchecked = [
        name
        for name, call in public_calls()
        if set(getattr(call, "__annotations__", {})) - {"return", "request"} and not hasattr(call, "__wrapped__")
    ]
    assert unchecked == []
