"""The three places where generated text goes: the terminal, files, JSON. Loads TensorFlow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from gpt2simple.api import functions
from gpt2simple.api.output import new_file_in
from gpt2simple.api.request import prefixes_of
from gpt2simple.api.session import Session
from gpt2simple.cli.output import show_json, show_line
from gpt2simple.generation.samples import Collector
from gpt2simple.settings import GenerateSettings, pick

logger = logging.getLogger(__name__)


def show_texts(
    prefix: str | list[str],
    settings: dict[str, Any],
    *,
    checkpoint: str,
    sample_delim: str | None,
    folder: Path | None,
    nfiles: int | None,
    destination_path: str | None,
    as_json: bool,
) -> None:
    """Generate, and put the texts where the options ask for.

    Args:
        settings: of the session and of ``GenerateSettings``, those that the user gave.
    """
    delim = functions.SAMPLE_DELIM if sample_delim is None else sample_delim
    sampling = pick(settings, GenerateSettings)
    with functions.with_weights(None, settings, checkpoint) as session:
        if as_json:
            _show_samples(session, prefix, sampling)
        elif folder is not None:
            _write_files(session, folder, nfiles or 1, prefix, delim, sampling)
        elif destination_path is not None:
            path = functions.generate_to_file(
                destination_path, session=session, prefix=prefix, sample_delim=delim, **sampling
            )
            show_line(str(path))
        else:
            functions.generate(session=session, prefix=prefix, sample_delim=delim, **sampling)


def _show_samples(session: Session, prefix: str | list[str], settings: dict[str, Any]) -> None:
    """One JSON value; where this is stopped, with the samples that were finished."""
    prefixes, nsamples = prefixes_of(prefix), settings.get("nsamples", 1)
    pieces = session.pieces(prefixes, **settings)
    collector = Collector(prefixes, nsamples)
    try:
        for piece in pieces:
            collector.add(piece)
    except BaseException:
        logger.info(f"Stopped with {len(collector.samples)} of {len(prefixes) * nsamples} samples finished.")
        raise
    finally:
        show_json({"model_name": session.model_name, "samples": [sample.to_json() for sample in collector.samples]})


def _write_files(
    session: Session, folder: Path, n_files: int, prefix: str | list[str], delim: str, settings: dict[str, Any]
) -> None:
    """``n_files`` new files, their names on standard output. With a seed, each file has the next one."""
    for number in range(n_files):
        seed = {} if settings.get("seed") is None else {"seed": settings["seed"] + number}
        with new_file_in(folder) as file:
            functions.save_samples(session, prefix, delim, settings | seed, file)
        show_line(str(file.path))
