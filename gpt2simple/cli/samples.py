"""Generated text on the command line: printed, written to files, or as JSON. Loads TensorFlow."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from gpt2simple.api.console import StandardOutput
from gpt2simple.api.one_call import with_weights
from gpt2simple.api.output import SAMPLE_DELIM, new_file, new_file_in, require_delim, save, show
from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.session import Session
from gpt2simple.cli.output import show_json, show_line
from gpt2simple.generation.samples import Collector

logger = logging.getLogger(__name__)


def show_texts(
    request: GenerateRequest,
    settings: dict[str, Any],
    *,
    checkpoint: str,
    sample_delim: str | None,
    folder: Path | None,
    nfiles: int | None,
    destination_path: str | None,
    as_json: bool,
) -> None:
    """Generate texts and show or save them as the options of the command say.

    Args:
        settings: those of the session that the user typed. The others are options of the command.
    """
    delim = SAMPLE_DELIM if sample_delim is None else sample_delim
    require_delim(delim)
    with with_weights(None, settings, checkpoint) as session:
        if as_json:
            _show_samples(session, request)
            return
        if folder is None and destination_path is None:
            show(session.pieces_of(request), request.total, delim, StandardOutput())
            return
        for number in range(nfiles or 1):
            with new_file(destination_path or "") if folder is None else new_file_in(folder) as file:
                save(session.pieces_of(request.number(number)), request.total, delim, file)
            show_line(str(file.path))


def _show_samples(session: Session, request: GenerateRequest) -> None:
    """Print one JSON value; if interrupted, with the samples finished so far."""
    pieces, collector = session.pieces_of(request), Collector(request.prefixes, request.settings.nsamples)
    try:
        for piece in pieces:
            collector.add(piece)
    except BaseException:
        logger.info(f"Stopped with {len(collector.samples)} of {request.total} samples finished.")
        raise
    finally:
        show_json({"model_name": session.model_name, "samples": [sample.to_json() for sample in collector.samples]})
