"""The functions for scripts and notebooks: each opens a session, or takes one, and makes one call on it.

``generate`` prints unless it is asked to return, as users of gpt-2-simple expect: the one function here whose return
type depends on an argument.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.api.compare import Place, compare_models
from gpt2simple.api.console import StandardOutput
from gpt2simple.api.finetune import FinetuneResult
from gpt2simple.api.output import new_file, new_file_in, save, show
from gpt2simple.api.report import ReportResult, write_report
from gpt2simple.api.request import prefixes_of, refuse_logprobs, require_delim
from gpt2simple.api.session import Session
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.report.comparison import CompareResult
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.token_scores import TextScore
from gpt2simple.generation.samples import TextChunk
from gpt2simple.settings import (
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    TextSettings,
    accepts,
)
from gpt2simple.settings.fields import split_by_class
from gpt2simple.storage.files import GrowingFile


@contextlib.contextmanager
def in_session(
    session: Session | None,
    names: dict[str, str | None],
    model_dir: str | Path,
    checkpoint_dir: str | Path,
    precision: str,
    threads: int | None,
) -> Iterator[Session]:
    """The session given, pointed at the names given; or one for this call."""
    if session is not None:
        if names["model_name"] is not None:
            session.use_model(names["model_name"])
        if names["run_name"] is not None:
            session.run_name = names["run_name"]
        yield session
        return
    with Session(
        names["model_name"],
        run_name=names["run_name"],
        model_dir=model_dir,
        checkpoint_dir=checkpoint_dir,
        precision=precision,
        threads=threads,
    ) as own:
        yield own


@contextlib.contextmanager
def with_weights(
    session: Session | None,
    names: dict[str, str | None],
    checkpoint: str | None,
    model_dir: str | Path,
    checkpoint_dir: str | Path,
    precision: str,
    threads: int | None,
) -> Iterator[Session]:
    """The session of ``in_session``, holding the weights that a call names.

    Args:
        checkpoint: "best" or "latest" weights of a run; None: the best, or what the session given holds.

    Raises:
        SettingsError: two things were named whose weights are to be loaded.
    """
    model_name, run_name = names["model_name"], names["run_name"]
    require_one_source(model_name, run_name, checkpoint or "best")
    with in_session(session, names, model_dir, checkpoint_dir, precision, threads) as used:
        asked = checkpoint is not None or run_name is not None
        if checkpoint not in (None, "best") or (session is not None and asked and model_name is None):
            used.load(checkpoint or "best")  # a session of this call's own loads the best by itself
        yield used


def require_one_source(model_name: str | None, run_name: str | None, checkpoint: str) -> None:
    """Raise SettingsError where a call names two things whose weights are to be loaded."""
    if run_name is not None and model_name is not None:
        raise SettingsError(
            f"run_name is {run_name!r} and model_name is {model_name!r}; give the one whose weights are to be loaded."
        )
    if model_name is not None and checkpoint != "best":
        raise SettingsError(
            f"checkpoint is {checkpoint!r} and model_name is {model_name!r}; checkpoint chooses weights of a run. "
            "Leave one of the two out."
        )


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
    show(*_pieces(session, prefix, delim, settings), StandardOutput())


def save_samples(
    session: Session, prefix: str | Sequence[str] | None, delim: str, settings: dict[str, Any], file: GrowingFile
) -> None:
    """Write samples to a file, each as soon as those before it are done."""
    save(*_pieces(session, prefix, delim, settings), file)


def _pieces(
    session: Session, prefix: str | Sequence[str] | None, delim: str, settings: dict[str, Any]
) -> tuple[Iterator[TextChunk], int, str]:
    """The pieces of the samples asked for, how many samples these are, and what stands behind each."""
    refuse_logprobs(settings)
    require_delim(delim)
    prefixes = prefixes_of(prefix)
    return session.pieces(prefixes, **settings), len(prefixes) * settings.get("nsamples", 1), delim


@accepts(EvaluateSettings, TextSettings)
def evaluate(
    dataset: Any,
    *,
    session: Session | None = None,
    run_name: str | None = None,
    model_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    checkpoint: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
    **settings: Any,
) -> EvaluateResult:
    """How well a model predicts a text: nats per token, perplexity, bits per byte, accuracy, with a standard error.

    The protocol is stated in the result, so that figures compare with published ones; "auto" measures in float32.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        checkpoint: "best" or "latest" weights of the run; None: the best, or what the session holds.
        settings: see below.

    The other arguments are those of ``generate``.

    Raises:
        SettingsError: a setting is out of range, or two sources of weights were named. DataError: there is nothing to
            measure, or part was given and the text is not the one that the run learned from.
        RunError: there is no such run, or it held out in another way than the settings ask for.
    """
    names = {"model_name": model_name, "run_name": run_name}
    with with_weights(session, names, checkpoint, model_dir, checkpoint_dir, precision, threads) as used:
        return used.evaluate(dataset, **settings)


def score(
    texts: str | Iterable[str],
    *,
    session: Session | None = None,
    run_name: str | None = None,
    model_name: str | None = None,
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    checkpoint: str | None = None,
    precision: str = "auto",
    threads: int | None = None,
) -> list[TextScore]:
    """The log-probability of each token of each text; in a notebook a score shows as the text coloured by surprise.

    Args:
        texts: one or more, none of them empty; each is scored on its own.

    The other arguments are those of ``evaluate``.

    Raises:
        DataError: a text is empty.
    """
    names = {"model_name": model_name, "run_name": run_name}
    with with_weights(session, names, checkpoint, model_dir, checkpoint_dir, precision, threads) as used:
        return used.score(texts)


@accepts(CompareSettings, TextSettings)
def compare(
    dataset: Any,
    model_names: Sequence[str],
    *,
    name: str = "compare",
    model_dir: str | Path = "models",
    checkpoint_dir: str | Path = "checkpoint",
    precision: str = "auto",
    threads: int | None = None,
    **settings: Any,
) -> CompareResult:
    """Several models side by side: each fine-tuned on the same text with the same token budget, and measured alike.

    Called again it goes on where it stopped; models that are done are not trained again. The result lies in
    ``checkpoint/<name>/``: a page, its numbers as JSON, and the figure as PNG; the runs are ``<name>-<model>``.

    Args:
        dataset: a text file, folder, or any other source that the README lists.
        model_names: two or more known models or model folders.
        name: of the comparison.
        model_dir, checkpoint_dir, precision, threads: as for ``start_session``.
        settings: see below.

    Raises:
        SettingsError: a setting is out of range, or fewer than two models were named.
        DataError: there is nothing to learn from, or nothing to hold out.
        RunError: another text or other settings were compared under that name.
        KeyboardInterrupt: on Ctrl-C, after the step is finished and saved.
    """
    of_comparison, of_text = split_by_class(
        settings, CompareSettings, TextSettings, function="compare", also=("name", "model_names")
    )
    place = Place(
        model_dir=Path(model_dir),
        checkpoint_dir=Path(checkpoint_dir),
        precision=precision,
        threads=threads,
    )
    return compare_models(dataset, model_names, CompareSettings(**of_comparison), TextSettings(**of_text), name, place)


def report(
    run_name: str | Sequence[str] = "run1",
    *,
    dataset: Any = None,
    destination_path: str | Path | None = None,
    checkpoint_dir: str | Path = "checkpoint",
) -> ReportResult:
    """A report on one run or several: one HTML page with curves, a verdict, memorised passages and samples.

    The page needs no network. Beside it lie a JSON file with every number and a PNG picture of the curves of each run.

    Args:
        run_name: the run, or a list of runs.
        dataset: what they learned from, where neither its encoded copy nor the files that the run names are there.
        destination_path: the page; None: ``report.html`` in the run's folder, or in ``checkpoint_dir`` for several
            runs. An earlier report there is replaced.
        checkpoint_dir: folder of the runs.

    Raises:
        RunError: there is no such run, or it has taken no step yet.
    """
    return write_report(
        [run_name] if isinstance(run_name, str) else list(run_name),
        checkpoint_dir=Path(checkpoint_dir),
        dataset=dataset,
        destination=Path(destination_path) if destination_path is not None else None,
    )
