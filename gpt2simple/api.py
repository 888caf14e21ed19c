"""The functions for scripts and notebooks: each opens a session, or takes one, and makes one call on it.

``generate`` prints unless it is asked to return, as users of gpt-2-simple expect: the one function here whose return
type depends on an argument.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.errors import SettingsError
from gpt2simple.generation.asked import prefixes_of, refuse_logprobs, require_delim
from gpt2simple.generation.samples import Piece
from gpt2simple.opened import in_session, require_one_source, with_weights
from gpt2simple.outflow import new_file, new_file_in, save, show
from gpt2simple.results import FinetuneResult
from gpt2simple.session import Session
from gpt2simple.settings import (
    FinetuneSettings,
    GenerateSettings,
    TextSettings,
    accepts,
)
from gpt2simple.storage import GrowingFile
from gpt2simple.telling import tell

SAMPLE_DELIM = "=" * 20 + "\n"


def start_session(
    model_name: str | None = None,
    *,
    run_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    precision: str = "auto",
    seed: int | None = None,
    threads: int | None = None,
) -> Session:
    """A session: one model with its run, precision and seeds. Use it with ``with``, or close it.

    Args:
        model_name: "124M" (default), "355M", "774M", "1558M", "tiny", or a folder that holds a GPT-2. Given without
            run_name, that model itself is loaded.
        run_name: the run to write and read (default "run1"); if it exists, its best weights are loaded.
        model_dir: folder of the downloaded models. checkpoint_dir: folder of the runs.
        precision: "auto", "float32", "bfloat16", "float16", or "int8" (for generating); the choice is told.
        seed: makes what the session draws repeatable; None draws anew.
        threads: CPU threads; None: all cores. Settled once per process.

    Raises:
        SettingsError: there is no such precision. BackendError: this process has settled other threads.

    Example:
        >>> import gpt2simple
        >>> with gpt2simple.start_session("tiny", seed=1) as session:
        ...     text = session.generate("The king", length=5)[0]
        >>> text.startswith("The king")
        True
    """
    return Session(
        model_name,
        run_name=run_name,
        model_dir=model_dir,
        checkpoint_dir=checkpoint_dir,
        precision=precision,
        seed=seed,
        threads=threads,
    )


@accepts(FinetuneSettings, TextSettings)
def finetune(
    dataset: Any,
    *,
    session: Session | None = None,
    model_name: str | None = None,
    run_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    precision: str = "auto",
    threads: int | None = None,
    callbacks: Any = None,
    **settings: Any,
) -> FinetuneResult:
    """The result of fine-tuning a model on a text; the run lies in ``checkpoint/<run_name>``.

    ``finetune("script.txt")`` is enough: it downloads 124M where it is missing, holds a tenth of the text out, trains
    until held-out loss stops falling, and keeps the best step, which ``generate()`` then uses. Called again on the same
    run it goes on: ``steps`` is the run's total.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        session: an open session to train in; its model and run are used, and the arguments up to ``threads`` are then
            its own.
        model_name, run_name, model_dir, checkpoint_dir, precision, threads: as for ``start_session``.
        callbacks: your own Keras callbacks, one or several, of tf_keras or Keras 3.
        settings: see below.

    Raises:
        Gpt2SimpleError: of the kind that fits; see ``gpt2simple.errors``.
    """
    names = {"model_name": model_name, "run_name": run_name}
    with in_session(session, names, model_dir, checkpoint_dir, precision, threads) as used:
        return used.finetune(dataset, callbacks=callbacks, **settings)


@accepts(GenerateSettings)
def generate(
    *,
    session: Session | None = None,
    run_name: str | None = None,
    model_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    checkpoint: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    prefix: str | Sequence[str] | None = "",
    sample_delim: str = SAMPLE_DELIM,
    destination_path: str | Path | None = None,
    return_as_list: bool = False,
    **settings: Any,
) -> list[str] | None:
    """Text by the fine-tuned model of a run: printed, or returned as a list where ``return_as_list`` is true.

    Args:
        session: an open session; the arguments up to ``threads`` are then its own.
        run_name: the run to read (default "run1"). model_name: a model to read instead, not fine-tuned.
        model_dir, checkpoint_dir, precision, threads: as for ``start_session``.
        checkpoint: "best" or "latest" weights of the run; None: the best, or what the session holds.
        prefix: what the texts start with; several prefixes give ``nsamples`` each.
        sample_delim: printed or written behind each sample where there are several.
        destination_path: a file to write instead of printing; it must not exist.
        return_as_list: return the texts and print nothing.
        settings: see below.

    Raises:
        RunError: there is no such run; the message names those that exist.
        SettingsError: a setting is out of range, the file exists, or two things were given that exclude each other.
        StorageError: the file or standard output cannot be written.
    """
    if return_as_list and destination_path is not None:
        raise SettingsError("return_as_list and destination_path were both given; give one of the two.")
    names = {"model_name": model_name, "run_name": run_name}
    with (
        contextlib.nullcontext() if destination_path is None else new_file(destination_path) as file,
        with_weights(session, names, checkpoint, model_dir, checkpoint_dir, precision, threads) as used,
    ):
        if file is not None:
            save_samples(used, prefix, sample_delim, settings, file)
            return None
        if return_as_list:
            return used.generate(prefix, **settings)
        show_samples(used, prefix, sample_delim, settings)
        return None


@accepts(GenerateSettings)
def generate_to_file(
    destination_path: str | Path | None = None,
    *,
    session: Session | None = None,
    run_name: str | None = None,
    model_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    checkpoint: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    prefix: str | Sequence[str] | None = "",
    sample_delim: str = SAMPLE_DELIM,
    **settings: Any,
) -> Path:
    """The path of a file with the texts that ``generate`` would print, each written as soon as its turn has come.

    Args:
        destination_path: a file that does not exist yet; None makes one in ``samples/`` with a name of its own.

    The other arguments and errors are those of ``generate``.
    """
    names = {"model_name": model_name, "run_name": run_name}
    with (
        new_file_in(Path("samples")) if destination_path is None else new_file(destination_path) as file,
        with_weights(session, names, checkpoint, model_dir, checkpoint_dir, precision, threads) as used,
    ):
        save_samples(used, prefix, sample_delim, settings, file)
    return file.path


def load_gpt2(
    session: Session, *, run_name: str | None = None, model_name: str | None = None, checkpoint: str = "best"
) -> Session:
    """The session, now holding the weights of a run, or of a model where ``model_name`` is given.

    Args:
        session: an open session.
        run_name: the run to load; None: the session's.
        model_name: a model to load instead, not fine-tuned.
        checkpoint: "best" or "latest" weights of the run.

    Raises:
        RunError: there is no such run. SettingsError: both names were given.
    """
    require_one_source(model_name, run_name, checkpoint)
    if model_name is not None:
        session.use_model(model_name)
        return session
    if run_name is not None:
        session.run_name = run_name
    session.load(checkpoint)
    return session


def reset_session(session: Session) -> Session:
    """A new session like this one, which is closed and its memory freed."""
    return session.reset()


def show_samples(session: Session, prefix: str | Sequence[str] | None, delim: str, settings: dict[str, Any]) -> None:
    """Print samples to stdout, each as soon as those before it are done, the first unfinished one while it grows."""
    show(*_pieces(session, prefix, delim, settings), _write, tell)


def save_samples(
    session: Session, prefix: str | Sequence[str] | None, delim: str, settings: dict[str, Any], file: GrowingFile
) -> None:
    """Write samples to a file, each as soon as those before it are done."""
    save(*_pieces(session, prefix, delim, settings), file, tell)


def _pieces(
    session: Session, prefix: str | Sequence[str] | None, delim: str, settings: dict[str, Any]
) -> tuple[Iterator[Piece], int, str]:
    """The pieces of the samples asked for, how many samples these are, and what stands behind each."""
    refuse_logprobs(settings)
    require_delim(delim)
    prefixes = prefixes_of(prefix)
    return session.pieces(prefixes, **settings), len(prefixes) * settings.get("nsamples", 1), delim


def _write(text: str) -> None:
    """To stdout at once; a character that its encoding lacks (a pipe's on Windows) as a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()
