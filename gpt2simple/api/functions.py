"""The functions for scripts and notebooks: each opens or takes a session and makes one call on it.

``generate`` prints unless ``return_as_list`` is set, as in gpt-2-simple.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.api.compare import compare_models
from gpt2simple.api.console import StandardOutput
from gpt2simple.api.finetune import FinetuneResult
from gpt2simple.api.output import SAMPLE_DELIM, new_file, new_file_in, require_delim, save, show
from gpt2simple.api.report import ReportResult, write_report
from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.session import Session
from gpt2simple.api.source import require_one_source
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.report.comparison import CompareResult
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.token_scores import TextScore
from gpt2simple.settings import (
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    SessionSettings,
    TextSettings,
    accepts,
    build,
    only,
    pick,
)
from gpt2simple.settings.session import DEFAULT_RUN, FOR_SEVERAL_RUNS, ONE_CALL


@contextlib.contextmanager
def in_session(session: Session | None, settings: Mapping[str, Any]) -> Iterator[Session]:
    """The given session, switched to the model and run named in the settings, or a new one for this call."""
    if session is None:
        with Session(**pick(settings, ONE_CALL)) as own:
            yield own
        return
    if settings.get("model_name") is not None:
        session.use_model(settings["model_name"])
    if settings.get("run_name") is not None:
        session.run_name = settings["run_name"]
    yield session


@contextlib.contextmanager
def with_weights(
    session: Session | None, settings: Mapping[str, Any], checkpoint: str | None = None
) -> Iterator[Session]:
    """The session of ``in_session``, with the weights that a call names.

    Args:
        checkpoint: "best" or "latest" weights of a run; None: the best, or those in the given session.

    Raises:
        SettingsError: the call names more than one source of weights.
    """
    model_name, run_name = settings.get("model_name"), settings.get("run_name")
    require_one_source(model_name, run_name, checkpoint)
    with in_session(session, settings) as used:
        named = checkpoint is not None or run_name is not None
        if checkpoint not in (None, "best") or (session is not None and named and model_name is None):
            used.load(checkpoint or "best")  # a new session loads the best by default
        yield used


@accepts(SessionSettings)
def start_session(model_name: str | None = None, **settings: Any) -> Session:
    """A session: one model with its run, precision and seeds. Use it in a ``with`` statement, or close it.

    If the run exists, the session uses its best weights; with only ``model_name`` given, it uses that base model.

    Args:
        model_name, settings: see below.

    Raises:
        SettingsError: a setting is out of range. BackendError: this process already uses another number of threads.

    Example:
        >>> import gpt2simple
        >>> with gpt2simple.start_session("tiny", seed=1) as session:
        ...     text = session.generate("The king", length=5)[0]
        >>> text.startswith("The king")
        True
    """
    return Session(model_name, **settings)


@accepts(ONE_CALL, FinetuneSettings, TextSettings, after="session")
def finetune(dataset: Any, *, session: Session | None = None, callbacks: Any = None, **settings: Any) -> FinetuneResult:
    """The result of fine-tuning a model on a text; the run is saved in ``checkpoint/<run_name>``.

    ``finetune("script.txt")`` is enough: it downloads 124M if necessary, holds out a tenth of the text, trains until
    held-out loss stops falling, and keeps the best step, which ``generate()`` then uses. Another call with the same
    run continues it; ``steps`` is the total of the run.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        session: an open session to train in; of the session settings below only model_name and run_name then apply.
        callbacks: your own Keras callbacks, one or several, of tf_keras or Keras 3.
        settings: see below.

    Raises:
        Gpt2SimpleError: one of its subclasses; see ``gpt2simple.errors``.
    """
    with in_session(session, settings) as used:
        return used.finetune(dataset, callbacks=callbacks, **pick(settings, FinetuneSettings, TextSettings))


@accepts(ONE_CALL, GenerateSettings, after="session")
def generate(
    *,
    session: Session | None = None,
    checkpoint: str | None = None,
    prefix: str | Sequence[str] | None = "",
    sample_delim: str = SAMPLE_DELIM,
    destination_path: str | Path | None = None,
    return_as_list: bool = False,
    **settings: Any,
) -> list[str] | None:
    """Text generated by the fine-tuned model of a run: printed, or returned as a list if ``return_as_list`` is true.

    Args:
        session: an open session; of the session settings below only run_name or model_name then applies.
        checkpoint: "best" or "latest" weights of the run; None: the best, or those in the session.
        prefix: the start of the texts; with several prefixes, each gets ``nsamples`` texts.
        sample_delim: printed or written after each sample if there are several.
        destination_path: a file to write instead of printing; it must not exist.
        return_as_list: return the texts and print nothing.
        settings: see below.

    Raises:
        RunError: there is no such run; the message names those that exist.
        SettingsError: a setting is out of range, the file exists, or two arguments exclude each other.
        StorageError: the file or standard output cannot be written.
    """
    if return_as_list and destination_path is not None:
        raise SettingsError("return_as_list and destination_path were both given; give one of the two.")
    require_delim(sample_delim)
    request = GenerateRequest.of(prefix, settings, texts_alone=True)
    with (
        contextlib.nullcontext() if destination_path is None else new_file(destination_path) as file,
        with_weights(session, settings, checkpoint) as used,
    ):
        if return_as_list:
            return [sample.text for sample in used.samples_of(request)]
        if file is None:
            show(used.pieces_of(request), request.total, sample_delim, StandardOutput())
        else:
            save(used.pieces_of(request), request.total, sample_delim, file)
    return None


@accepts(ONE_CALL, GenerateSettings, after="session")
def generate_to_file(
    destination_path: str | Path | None = None,
    *,
    session: Session | None = None,
    checkpoint: str | None = None,
    prefix: str | Sequence[str] | None = "",
    sample_delim: str = SAMPLE_DELIM,
    **settings: Any,
) -> Path:
    """The path of a file with the texts that ``generate`` would print, written one by one as they are complete.

    Args:
        destination_path: a file that does not exist yet; None: a new file in ``samples/``.

    The other arguments and errors are those of ``generate``.
    """
    require_delim(sample_delim)
    request = GenerateRequest.of(prefix, settings, texts_alone=True)
    with (
        new_file_in(Path("samples")) if destination_path is None else new_file(destination_path) as file,
        with_weights(session, settings, checkpoint) as used,
    ):
        save(used.pieces_of(request), request.total, sample_delim, file)
    return file.path


def load_gpt2(
    session: Session, *, run_name: str | None = None, model_name: str | None = None, checkpoint: str = "best"
) -> Session:
    """The session, with the weights of a run loaded, or those of a model if ``model_name`` is given.

    Args:
        session: an open session.
        run_name: the run to load; None: the session's.
        model_name: a model to load instead, without fine-tuning.
        checkpoint: "best" or "latest" weights of the run.

    Raises:
        RunError: there is no such run. SettingsError: both names were given.
    """
    with with_weights(session, {"model_name": model_name, "run_name": run_name}, checkpoint):
        return session


def reset_session(session: Session) -> Session:
    """A new session with the same settings; the given one is closed and its memory freed."""
    return session.reset()


@accepts(ONE_CALL, EvaluateSettings, TextSettings, after="session")
def evaluate(
    dataset: Any, *, session: Session | None = None, checkpoint: str | None = None, **settings: Any
) -> EvaluateResult:
    """How well a model predicts a text: nats per token, perplexity, bits per byte, accuracy, with a standard error.

    The result states the protocol, so that it can be compared with published figures; "auto" evaluates in float32.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        checkpoint: "best" or "latest" weights of the run; None: the best, or those in the session.
        settings: see below.

    The other arguments are those of ``generate``.

    Raises:
        SettingsError: a setting is out of range, or two sources of weights were named. DataError: there is nothing to
            evaluate, or part was given and the run was trained on another text.
        RunError: there is no such run, or it split its text differently from what the settings request.
    """
    with with_weights(session, settings, checkpoint) as used:
        return used.evaluate(dataset, **pick(settings, EvaluateSettings, TextSettings))


@accepts(ONE_CALL, after="session")
def score(
    texts: str | Iterable[str], *, session: Session | None = None, checkpoint: str | None = None, **settings: Any
) -> list[TextScore]:
    """The log-probability of each token of each text; a notebook shows a score as the text, coloured by surprisal.

    Args:
        texts: one or more, none of them empty; each is scored separately.

    The other arguments are those of ``evaluate``.

    Raises:
        DataError: a text is empty.
    """
    with with_weights(session, settings, checkpoint) as used:
        return used.score(texts)


@accepts(FOR_SEVERAL_RUNS, CompareSettings, TextSettings)
def compare(dataset: Any, model_names: Sequence[str], *, name: str = "compare", **settings: Any) -> CompareResult:
    """A comparison of models that are fine-tuned on the same text with the same token budget and evaluated alike.

    A second call continues an interrupted comparison without training finished models again. It is written to
    ``checkpoint/<name>/`` as an HTML page, JSON and a PNG figure; the runs are named ``<name>-<model>``.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        model_names: two or more known models or model folders.
        name: of the comparison.
        settings: see below.

    Raises:
        SettingsError: a setting is out of range, or fewer than two models were named.
        DataError: the text is empty, or too short to hold out a part.
        RunError: a comparison of that name used another text or other settings.
        KeyboardInterrupt: on Ctrl-C, after the current step is saved.
    """
    wanted, text = build(CompareSettings, settings), build(TextSettings, settings)
    return compare_models(dataset, model_names, wanted, text, name, SessionSettings(**pick(settings, FOR_SEVERAL_RUNS)))


@accepts(only(SessionSettings, "checkpoint_dir"))
def report(
    run_name: str | Sequence[str] = DEFAULT_RUN,
    *,
    dataset: Any = None,
    destination_path: str | Path | None = None,
    **settings: Any,
) -> ReportResult:
    """A report on one run or several: one HTML page with curves, a verdict, memorised passages and samples.

    The page needs no network. A JSON file with every number and a PNG of each run's curves are written beside it.

    Args:
        run_name: the run, or a list of runs.
        dataset: their training text; needed only if neither its encoded copy nor the original files exist.
        destination_path: the page; None: ``report.html`` in the run's folder, or in ``checkpoint_dir`` for several
            runs. An earlier report there is replaced.

    Raises:
        RunError: there is no such run, or it has taken no step yet.
    """
    return write_report(
        [run_name] if isinstance(run_name, str) else list(run_name),
        checkpoint_dir=Path(SessionSettings(**settings).checkpoint_dir),
        dataset=dataset,
        destination=Path(destination_path) if destination_path is not None else None,
    )
