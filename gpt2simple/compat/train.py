"""``finetune`` with gpt-2-simple's arguments and meanings."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from gpt2simple.compat.callbacks import WatchedSession
from gpt2simple.compat.files import text_settings
from gpt2simple.compat.sessions import checked
from gpt2simple.data.pairs import recognise
from gpt2simple.data.prepare import check_texts
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.hub.locate import canonical_name, model_folder
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import run_path
from gpt2simple.settings import TextSettings, accepts
from gpt2simple.settings.session import DEFAULT_MODEL
from gpt2simple.training.plan import ENDLESS

logger = logging.getLogger(__name__)
_ALL = 1_000_000_000  # checkpoints
_DEFAULT_COMBINE = 50_000

# What the old graph did, whatever its arguments.
_AS_THE_ORIGINAL: dict[str, Any] = dict(
    schedule="constant", warmup_steps=0, weight_decay=0.0, clip_norm=0.0, dropout=0.0, validation_split=0.0
)


@accepts()
def finetune(
    sess: Any, dataset: Any, steps: int = -1, model_name: str = "124M", model_dir: str | Path = "models",
    combine: int = 50000, batch_size: int = 1, learning_rate: float = 0.0001, accumulate_gradients: int = 5,
    restore_from: str | Path = "latest", run_name: str = "run1", checkpoint_dir: str | Path = "checkpoint",
    sample_every: int = 100, sample_length: int = 1023, sample_num: int = 1, multi_gpu: bool = False,
    save_every: int = 1000, print_every: int = 1, max_checkpoints: int | None = 1,
    use_memory_saving_gradients: bool = False, only_train_transformer_layers: bool = False,
    optimizer: str = "adam", overwrite: bool = False, reuse: bool = False,
) -> None:  # fmt: skip
    """Train a model on a text and leave it in the session; the run is written to ``checkpoint/<run_name>``.

    Args:
        sess: from ``start_tf_sess``. dataset: a file, folder or pattern, or any other source of this package.
        steps: optimizer steps that this call adds; 0 or less: until Ctrl-C.
        model_name: a model, downloaded if it is missing; when a run is continued or starts from a folder, the default
            means the model there.
        model_dir, checkpoint_dir: folders of the models and of the runs.
        combine: no effect here, see ``encode_dataset``; a message says so.
        batch_size: windows per micro-batch. accumulate_gradients: micro-batches per step.
        restore_from: "latest": the run, or the model if there is none; "fresh": the model; or a model's folder.
        sample_every, save_every, print_every: steps between samples, checkpoints and lines.
        sample_length: tokens per sample, at most one less than the model's window. sample_num: texts per sample.
        max_checkpoints: checkpoints kept; 0 or None: all.
        use_memory_saving_gradients: compute activations twice instead of keeping them.
        only_train_transformer_layers: freeze the embeddings.
        optimizer: "adam" or "sgd".
        overwrite: with ``restore_from`` other than "latest": replace a run that exists.
        multi_gpu, reuse: see the module's docstring.

    Raises:
        Gpt2SimpleError: one of its subclasses; see ``gpt2simple.errors``.
    """
    session = checked(sess)
    restored = _restore_from(restore_from)
    report_multi_gpu(multi_gpu)
    if combine != _DEFAULT_COMBINE:
        logger.info("combine has no effect on finetune: the end-of-text token separates documents of any length.")
    if overwrite and restore_from == "latest":
        logger.info(
            "overwrite has no effect when the run is continued: max_checkpoints says how many checkpoints are kept, "
            "and files that gpt-2-simple wrote stay."
        )
    run = RunFolder(run_path(Path(checkpoint_dir), run_name))
    name, begins_with, done = _beginning(run, model_name, restore_from)
    reading = TextSettings(**text_settings(dataset))
    if (found := recognise(dataset, reading)) is not None:
        raise SettingsError(
            f"The dataset holds pairs ({found}), which gpt-2-simple does not know. Use gpt2simple.finetune(...)."
        )
    if begins_with is None:
        check_texts(dataset, reading)  # before the model is downloaded
    loaded_from = model_folder(name or model_name, Path(model_dir)) if begins_with is None else begins_with
    session.empty()  # two models in memory would be one too many
    folders = {"run_name": run_name, "model_dir": model_dir, "checkpoint_dir": checkpoint_dir}
    engine = WatchedSession(name, **folders, threads=session.threads, strategy="single", sample_num=sample_num)
    print("Loading checkpoint", loaded_from)
    print("Loading dataset...", flush=True)
    try:
        engine.finetune(
            dataset,
            steps=done + (int(steps) if int(steps) > 0 else ENDLESS),
            batch_size=batch_size,
            learning_rate=float(learning_rate),
            accumulate_gradients=max(accumulate_gradients, 1),
            sample_every=sample_every if sample_num > 0 else 0,
            sample_length=sample_length,
            save_every=save_every,
            print_every=print_every,
            max_checkpoints=max_checkpoints or _ALL,
            gradient_checkpointing=True if use_memory_saving_gradients else None,
            only_train_transformer_layers=only_train_transformer_layers,
            optimizer=optimizer,
            restore_from=restored,
            overwrite=overwrite and restore_from != "latest",
            **_AS_THE_ORIGINAL,
            **text_settings(dataset),
        )
    except BaseException:
        engine.close()
        raise
    session.hold(engine, f"run {run_name!r}")


def _restore_from(value: str | Path) -> str:
    if value in ("latest", "fresh"):
        return str(value)
    if not Path(value).is_dir():
        raise SettingsError(
            f'restore_from is {str(value)!r}; expected "latest", "fresh", or the folder of a run or model, such as '
            '"checkpoint/run1". Correct it, or leave it out to continue the run.'
        )
    return str(Path(value).absolute())


def _beginning(run: RunFolder, model_name: str, restore_from: str | Path) -> tuple[str | None, Path | None, int]:
    """The model's name (None: that of the run or folder), its weights (None: the model's own), and the steps done."""
    # The name may be left out when starting from a trained model, which cannot be distinguished from the default.
    name = None if canonical_name(model_name) == DEFAULT_MODEL else model_name
    if restore_from not in ("latest", "fresh"):
        return name, Path(restore_from), 0
    if restore_from == "latest":
        newest, legacy = run.latest(), run.legacy_step
        if newest is not None:
            return name, newest.path, newest.step
        if legacy is not None:
            return name, run.path / f"model-{legacy}", 0
        if run.exists:  # stopped before its first checkpoint
            return name or run.info.description.model_name, None, 0
    return model_name, None, 0


def report_multi_gpu(multi_gpu: bool) -> None:
    """Log what ``multi_gpu`` does."""
    if multi_gpu:
        logger.info(
            "multi_gpu has no effect: these functions use one GPU, which can hold every supported size of GPT-2. "
            "gpt2simple.finetune trains on all of a machine."
        )
