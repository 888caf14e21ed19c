"""The functions for scripts and notebooks: each opens a session, or takes one, and makes one call on it.

``generate`` prints unless ``return_as_list`` is true, as users of gpt-2-simple expect: it is the one function here
whose return type depends on an argument.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpt2simple.api.compared_task import compared_task
from gpt2simple.api.comparison import candidates_of
from gpt2simple.api.console import StandardOutput
from gpt2simple.api.evaluate import EvaluationResult
from gpt2simple.api.figures_report import FiguresReport, reports_figures, write_figures_report
from gpt2simple.api.one_call import in_session, with_weights
from gpt2simple.api.output import SAMPLE_DELIM, new_file, new_file_in, require_delim, save, show
from gpt2simple.api.report import ReportResult, write_report
from gpt2simple.api.request import GenerateRequest
from gpt2simple.api.result import Classification, FinetuneResult
from gpt2simple.api.session import Session
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.classification.comparison import CompareClassifiersResult
from gpt2simple.evaluation.outputs.comparison import ComparePairsResult
from gpt2simple.evaluation.report.language_models import CompareResult
from gpt2simple.evaluation.token_scores import TextScore
from gpt2simple.settings import (
    ClassifierSettings,
    CompareClassifiersSettings,
    CompareSettings,
    EvaluateSettings,
    FinetuneSettings,
    GenerateSettings,
    LabelledTextSettings,
    SessionSettings,
    TextSettings,
    accepts,
    build,
    pick,
)
from gpt2simple.settings.classify import LABELS, ClassifySettings
from gpt2simple.settings.compare import COMPARED_PAIRS, MethodSettings
from gpt2simple.settings.pairs import ANSWERS, PAIR_COLUMNS, PAIR_TEXTS, PAIR_TRAINING
from gpt2simple.settings.session import DEFAULT_RUN, FOR_SEVERAL_RUNS, ONE_CALL, RUNS


@accepts(SessionSettings)
def start_session(model_name: str | Path | None = None, **settings: Any) -> Session:
    """Start a session: one model with its run, precision and seed. Use it in a ``with`` block, or close it.

    If the run exists, its best weights are loaded. If only ``model_name`` is given, that model is loaded.

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


@accepts(ONE_CALL, FinetuneSettings, TextSettings, PAIR_TEXTS, PAIR_TRAINING, after="session")
def finetune(dataset: Any, *, session: Session | None = None, callbacks: Any = None, **settings: Any) -> FinetuneResult:
    """Fine-tune a model on a text, or on pairs, and return the result; the run is saved in ``checkpoint/<run_name>``.

    ``finetune("script.txt")`` is enough: it downloads 124M if it is missing, holds out a tenth of the text, trains
    until held-out loss stops falling, and keeps the best step, which ``generate()`` then uses. Called again, it
    continues the run: ``steps`` is the run's total.

    Args:
        dataset: a text file, folder, or any other source listed in the README. Pairs of prompt and completion are
            recognised by their keys, such as prompt and completion, messages, or instruction and output; the loss is
            then on the completions alone, and a tenth of the pairs is kept for testing too.
        session: an open session to train in. It keeps its own folders, precision and threads; ``model_name`` and
            ``run_name`` replace its own if given.
        callbacks: your own Keras callbacks, one or several, from tf_keras or Keras 3.
        settings: see below.

    Raises:
        Gpt2SimpleError: one of its subclasses; see ``gpt2simple.errors``.
    """
    with in_session(session, settings) as used:
        return used.finetune(
            dataset, callbacks=callbacks, **pick(settings, FinetuneSettings, TextSettings, PAIR_TEXTS, PAIR_TRAINING)
        )


@accepts(ONE_CALL, ClassifierSettings, LabelledTextSettings, after="session")
def finetune_classifier(
    dataset: Any, *, session: Session | None = None, control: bool = False, callbacks: Any = None, **settings: Any
) -> FinetuneResult:
    """Fine-tune a model to tell classes of texts apart, and test it; the run is saved in ``checkpoint/<run_name>``.

    The texts are divided into parts to train on, to choose the best step by, and to test on (``result.test``): 80, 10
    and 10 percent by default. Called again, it continues the run. Needs scikit-learn.

    Args:
        dataset: labelled texts: a table or JSON file with a column of labels, a folder for each label, files named by
            label with a text on each line, ``tfds:name``, or pairs of text and label.
        control: afterwards train in the same way from random weights, as the run ``<run_name>-control``, to show in
            ``result.test`` what the model's own weights brought. Takes as long again.
        session, callbacks: as for ``finetune``.
        settings: see below.

    Raises:
        Gpt2SimpleError: one of its subclasses; see ``gpt2simple.errors``.
    """
    with in_session(session, settings) as used:
        of_training = pick(settings, ClassifierSettings, LabelledTextSettings)
        return used.finetune_classifier(dataset, control=control, callbacks=callbacks, **of_training)


@accepts(ONE_CALL, ClassifySettings, after="session")
def classify(
    texts: str | Iterable[str], *, session: Session | None = None, checkpoint: str | None = None, **settings: Any
) -> list[Classification]:
    """The class of each text, with its probability and those of all classes, by the classifier of a run.

    Args:
        texts: one or more, none of them blank.

    The other arguments are those of ``evaluate``.

    Raises:
        DataError: a text is blank. CheckpointError: the model is no classifier.
    """
    with with_weights(session, settings, checkpoint) as used:
        return used.classify(texts, **pick(settings, ClassifySettings))


@accepts(ONE_CALL, GenerateSettings, after="session")
def generate(
    *,
    session: Session | None = None,
    checkpoint: str | None = None,
    prefix: str | Iterable[str] | None = "",
    prompt: Any = None,
    sample_delim: str = SAMPLE_DELIM,
    destination_path: str | Path | None = None,
    return_as_list: bool = False,
    **settings: Any,
) -> list[str] | None:
    """Generate text with the fine-tuned model of a run, and print it, or return it if ``return_as_list`` is true.

    Args:
        session: an open session. It keeps its own folders, precision and threads; ``model_name`` or ``run_name``
            replaces its own if given.
        checkpoint: "best" or "latest" weights of the run; None: the best, or those that the session has in memory.
        prefix: the text to start from; with several prefixes, each gets ``nsamples`` samples.
        prompt: in place of a prefix, for a run on pairs: one or more texts, conversations (lists of messages with role
            and content), or dicts of an instruction and its input; the samples are the completions alone.
        sample_delim: printed or written after each sample if there are several.
        destination_path: a file to write to instead of printing; it must not exist yet.
        return_as_list: return the texts and print nothing.
        settings: see below. Without ``run_name``, a ``model_name`` means that model itself, not fine-tuned.

    Raises:
        RunError: the run does not exist; the message lists those that do.
        SettingsError: a setting is out of range, the file exists, or two arguments exclude each other.
        StorageError: the file or standard output cannot be written.
    """
    if return_as_list and destination_path is not None:
        raise SettingsError("return_as_list and destination_path were both given; give one of the two.")
    require_delim(sample_delim)
    request = GenerateRequest.of(prefix, settings, prompt=prompt, texts_alone=True)
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


@accepts(ONE_CALL, ANSWERS, after="session")
def answer(
    prompts: Any, *, session: Session | None = None, checkpoint: str | None = None, **settings: Any
) -> list[str]:
    """What a model that was trained on pairs writes for each prompt: the most probable token each time, up to the end.

    Args:
        prompts: one or more texts, conversations (lists of messages with role and content), or instructions as Alpaca
            has them, ``{"instruction": "Translate it.", "input": "Bonjour"}``.

    The other arguments are those of ``generate``.

    Raises:
        SettingsError: a prompt is blank or has an input that the run has no place for, or the model was not trained on
            pairs.
    """
    request = GenerateRequest.of_answers(prompts, settings)  # raises before a model is loaded
    with with_weights(session, settings, checkpoint) as used:
        return [sample.text for sample in used.samples_of(request)]


@accepts(ONE_CALL, GenerateSettings, after="session")
def generate_to_file(
    destination_path: str | Path | None = None,
    *,
    session: Session | None = None,
    checkpoint: str | None = None,
    prefix: str | Iterable[str] | None = "",
    sample_delim: str = SAMPLE_DELIM,
    **settings: Any,
) -> Path:
    """Write to a file what ``generate`` would print, sample by sample, and return its path.

    Args:
        destination_path: a file that does not exist yet; None: a new one in ``samples/``, named after the time.

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


@accepts()
def load_gpt2(
    session: Session,
    *,
    run_name: str | None = None,
    model_name: str | Path | None = None,
    checkpoint: str = "best",
) -> Session:
    """Load the weights of a run into a session, or those of a model if ``model_name`` is given; returns the session.

    Args:
        session: an open session.
        run_name: the run to load; None: the session's.
        model_name: a model to load instead, not fine-tuned.
        checkpoint: "best" or "latest" weights of the run.

    Raises:
        RunError: the run does not exist. SettingsError: both names were given.
    """
    with with_weights(session, {"model_name": model_name, "run_name": run_name}, checkpoint):
        return session


@accepts()
def reset_session(session: Session) -> Session:
    """Close a session, which frees its memory, and return a new one with the same settings."""
    return session.reset()


@accepts(ONE_CALL, EvaluateSettings, TextSettings, LABELS, PAIR_COLUMNS, after="session")
def evaluate(
    dataset: Any, *, session: Session | None = None, checkpoint: str | None = None, **settings: Any
) -> EvaluationResult:
    """Evaluate a model on a text: nats per token with a standard error, perplexity, bits per byte, accuracy.

    The classifier of a run is evaluated on labelled texts: accuracy with its interval, F1, calibration, beside simple
    models; ``part="test"`` means those that its training never saw. A run on pairs is evaluated on pairs: the loss of
    completions, and what it writes for each prompt beside the completion (exact match, token F1, BLEU, chrF, ROUGE).

    The result states the protocol, so that it can be compared with published ones; precision "auto" means float32 here.

    Args:
        dataset: a text file, folder, or any other source listed in the README.
        settings: see below.

    The other arguments are those of ``generate``.

    Raises:
        SettingsError: a setting is out of range, or both a model and a run were named. DataError: there is nothing to
            evaluate, or ``part`` was given and the text is not the one that the run was trained on.
        RunError: the run does not exist, or was split in another way than the settings say.
    """
    with with_weights(session, settings, checkpoint) as used:
        return used.evaluate(dataset, **pick(settings, EvaluateSettings, TextSettings, LABELS, PAIR_COLUMNS))


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


@accepts(FOR_SEVERAL_RUNS, CompareSettings, TextSettings, PAIR_TEXTS, COMPARED_PAIRS)
def compare(
    dataset: Any, model_names: Sequence[str], *, name: str = "compare", **settings: Any
) -> CompareResult | ComparePairsResult:
    """Compare models: each is fine-tuned on the same text with the same token budget, and evaluated in the same way.

    On pairs of prompt and completion each learns the same completions, ``epochs`` times, and is tested on the same
    others: their loss, and what it writes beside them (exact match, token F1, BLEU, chrF, ROUGE). A model is called
    better only where a paired test shows it.

    Called again, it continues where it stopped; finished models are not trained again. The results are saved in
    ``checkpoint/<name>/``: a page, its numbers as JSON, and the figure as PNG; the runs are ``<name>-<model>``.

    ``methods=["full", "lora"]`` trains each model twice, all of its weights and an adapter (LoRA): what each costs and
    reaches, and how much of the text its samples copy, on one page. Runs of adapters end in ``-lora``.

    Args:
        dataset: a text file, folder, or any other source listed in the README.
        model_names: two or more known models or model folders; with two methods, one will do.
        name: name of the comparison; its folder and runs are named after it.
        settings: see below.

    Raises:
        SettingsError: a setting is out of range, fewer than two models were named, or a setting is for texts and the
            dataset holds pairs, or the reverse.
        DataError: there is nothing to train on, or nothing to hold out.
        BackendError: sacrebleu or rouge-score is missing, which pairs need.
        RunError: a comparison of that name has another text or other settings.
        KeyboardInterrupt: on Ctrl-C, after the current step is finished and saved.
    """
    place = SessionSettings(**pick(settings, FOR_SEVERAL_RUNS))
    candidates = candidates_of(model_names, build(MethodSettings, settings), name)  # before the dataset is looked into
    task = compared_task(dataset, settings)
    wanted, texts = task.settings(**pick(settings, task.settings)), task.texts(**pick(settings, task.texts))
    result: CompareResult | ComparePairsResult = task.run(dataset, candidates, wanted, texts, name, place)
    return result


@accepts(FOR_SEVERAL_RUNS, CompareClassifiersSettings, LabelledTextSettings)
def compare_classifiers(
    dataset: Any, model_names: Sequence[str], *, name: str = "compare-classifiers", **settings: Any
) -> CompareClassifiersResult:
    """Compare models as classifiers: each is trained on the same labelled texts, and tested on the same other ones.

    Each stands beside a bag of words and the other models; a difference counts only where a paired test shows it.
    Called again, it continues where it stopped; finished models are not trained again. The results are saved in
    ``checkpoint/<name>/``: a page, its numbers as JSON, and the figure as PNG; the runs are ``<name>-<model>``. Needs
    scikit-learn.

    Args:
        dataset: labelled texts, as for ``finetune_classifier``.
        model_names, name: as for ``compare``.
        settings: see below.

    Raises:
        BackendError: scikit-learn is missing.
        SettingsError: a setting is out of range, or fewer than two models were named.
        DataError: the texts cannot be read or split, or none of them are held out.
        RunError: a comparison of that name has other texts or settings.
        KeyboardInterrupt: on Ctrl-C, after the current step is finished and saved.
    """
    from gpt2simple.api.compare_classifiers import compare_labelled  # here: few need it

    wanted, texts = build(CompareClassifiersSettings, settings), build(LabelledTextSettings, settings)
    place = SessionSettings(**pick(settings, FOR_SEVERAL_RUNS))
    return compare_labelled(dataset, model_names, wanted, texts, name, place)


@accepts(RUNS)
def report(
    run_name: str | Sequence[str] = DEFAULT_RUN,
    *,
    dataset: Any = None,
    destination_path: str | Path | None = None,
    **settings: Any,
) -> ReportResult | FiguresReport:
    """Write a report on one or more runs: one HTML page with curves, a verdict, memorised passages and samples.

    The page on a classifier, which is one run's, has its figures on the test part beside those of simple models, and
    its most confident mistakes.

    The page needs no network. A JSON file with every number and a PNG of each run's curves are written next to it, for
    several runs also one of all side by side, which says when each began to memorise.

    Args:
        run_name: the run, or a list of runs.
        dataset: the training text, needed only if neither its encoded copy nor its files can be found.
        destination_path: the page; None: ``report.html`` in the run's folder, or in ``checkpoint_dir`` for several
            runs. An earlier report there is replaced, any other file is not.

    Raises:
        RunError: the run does not exist, or has no steps yet. SettingsError: a file there is not from a report.
    """
    names = [run_name] if isinstance(run_name, str) else list(run_name)
    checkpoint_dir = Path(SessionSettings(**settings).checkpoint_dir)
    destination = Path(destination_path) if destination_path is not None else None
    if len(names) == 1 and reports_figures(names[0], checkpoint_dir):
        return write_figures_report(names[0], checkpoint_dir=checkpoint_dir, dataset=dataset, destination=destination)
    return write_report(names, checkpoint_dir=checkpoint_dir, dataset=dataset, destination=destination)
