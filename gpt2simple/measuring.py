"""The functions for scripts and notebooks that measure: a model on a text, single tokens, runs, models side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.comparing import Place, compare_models
from gpt2simple.evaluation.compare import CompareResult
from gpt2simple.evaluation.results import EvaluateResult
from gpt2simple.evaluation.score import TextScore
from gpt2simple.opened import with_weights
from gpt2simple.reporting import ReportResult, write_report
from gpt2simple.session import Session
from gpt2simple.settings import CompareSettings, EvaluateSettings, TextSettings, accepts
from gpt2simple.settings.fields import split_by_class
from gpt2simple.telling import tell


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
        notify=tell,
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
        notify=tell,
    )
