"""Generated text on the command line: printed, written to files, or as JSON. Loads TensorFlow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from gpt2simple.api.console import StandardOutput, counting_bar
from gpt2simple.api.one_call import with_weights
from gpt2simple.api.output import SAMPLE_DELIM, new_file, new_file_in, require_delim, save, show, whole_texts
from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.session import Session
from gpt2simple.cli.output import JsonList, show_json, show_line
from gpt2simple.generation.samples import Collector, TextChunk

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
            with counting_bar("Texts", request.total) as count:
                show(_counted(session.pieces_of(request), count), request.total, delim, StandardOutput())
            return
        for number in range(nfiles or 1):
            with (
                new_file(destination_path or "") if folder is None else new_file_in(folder) as file,
                counting_bar("Texts", request.total) as count,
            ):
                save(_counted(session.pieces_of(request.number(number)), count), request.total, delim, file)
            show_line(str(file.path))


def _show_samples(session: Session, request: GenerateRequest) -> None:
    """Print one JSON value; if interrupted, with the samples finished so far."""
    pieces, collector = session.pieces_of(request), Collector(request.prefixes, request.settings.nsamples)
    try:
        with counting_bar("Texts", request.total) as count:
            for piece in _counted(pieces, count):
                collector.add(piece)
    except BaseException:
        logger.info(f"Stopped with {len(collector.samples)} of {request.total} samples finished.")
        raise
    finally:
        samples = [sample.to_json() for sample in collector.samples]
        if request.of_prompts:
            samples = [{"prompt": sample.pop("prefix"), **sample} for sample in samples]
        show_json({"model_name": session.model_name, "samples": samples})


def show_answers(
    requests: Iterable[GenerateRequest], settings: dict[str, Any], *, checkpoint: str, as_json: bool
) -> None:
    """Print the answer to each prompt in their order, as soon as it and those before it are finished.

    Args:
        requests: greedy ones for prompts. The next one is asked for when those before it are answered.
        settings: those of the session that the user typed. The others are options of the command.
    """
    with with_weights(None, settings, checkpoint) as session, JsonList() if as_json else nullcontext() as as_list:
        # Before anybody types a prompt:
        session.require_template()
        session.tokenizer  # noqa: B018 - loads the model
        for request in requests:
            answered = 0
            try:
                with counting_bar("Prompts", request.total) as count:
                    for text in whole_texts(_counted(session.pieces_of(request), count)):
                        if as_list is None:
                            show_line(text)
                        else:
                            as_list.add({"prompt": request.prefixes[answered], "output": text})
                        answered += 1
            except KeyboardInterrupt:
                logger.info(f"Stopped with {answered} of {request.total} prompts answered.")
                raise


def _counted(chunks: Iterable[TextChunk], count: Callable[[], object]) -> Iterator[TextChunk]:
    """The chunks; calls ``count`` for each sample that is finished."""
    for chunk in chunks:
        if chunk.finish_reason is not None:
            count()
        yield chunk
