"""A classifier beside its control: the same training, on the same texts, from random weights of the model's shape.

The control is a run of its own. Its probabilities for the parts that training did not see lie in its folder, so that
the main run is shown beside it without a second model in memory.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from gpt2simple.api.classification import CLASSIFIER, LabelledData, open_labelled
from gpt2simple.api.request import Request, TaskKind, TrainingCall
from gpt2simple.api.result import FinetuneResult
from gpt2simple.api.tasks import Prepared
from gpt2simple.data.prepare import ProgressBar
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.classification.baselines import control as random_weights
from gpt2simple.evaluation.classification.metrics import ClassificationResult, require_scikit_learn
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import PREDICTIONS_FILE, control_path
from gpt2simple.runs.resume import RANDOM, is_control
from gpt2simple.settings import ClassifierSettings, LabelledTextSettings
from gpt2simple.storage.contents import reason
from gpt2simple.storage.files import atomic_write

logger = logging.getLogger(__name__)
_ENDED = ("finished", "patience", "callback")  # of its own accord


class TrainingSession(Protocol):
    """What training a run and its control needs of a session."""

    run_name: str

    @property
    def run_dir(self) -> Path:
        """Of the run of that name."""

    def train(self, request: TrainingCall) -> FinetuneResult:
        """Train that run; the session then holds its best weights in place of those from before."""

    def load(self, checkpoint: str = "best") -> None:
        """Hold that run's weights."""


def train_classifier(
    session: TrainingSession, dataset: Any, settings: Mapping[str, Any], callbacks: Any, *, control: bool
) -> FinetuneResult:
    """Train a classifier; and then its control, if wanted, whose figures stand beside the others in the result.

    The control is not trained if the classifier's training was interrupted; the same call goes on with either.

    Raises:
        RunError: another run has the name of the control; nothing was trained then.
        SettingsError: the classifier itself starts from random weights.
        BackendError: scikit-learn, which computes the figures, is missing.
    """
    require_scikit_learn()
    call = TrainingCall(CLASSIFIER, dataset, settings, callbacks)
    return _with_control(session, call) if control else session.train(call)


def _with_control(session: TrainingSession, call: TrainingCall) -> FinetuneResult:
    name, path = session.run_name, control_path(session.run_dir)
    _require_trained(RunFolder(session.run_dir), call)
    kind = replace(call.kind, open=_read_once())
    result = session.train(replace(call, kind=kind, also={"control": path}))
    if result.reason == "interrupted":
        return result
    main, other = RunFolder(result.run_dir), RunFolder(path)
    if not _can_repeat(main.info, other.info if other.exists else None):
        logger.info(
            f"No control is trained: the settings of {main.path.name} changed on the way, which a training from its "
            "beginning cannot repeat. Give another run_name, and control=True from the beginning."
        )
        return result
    logger.info(f"Now the control, {path.name}: the same training from random weights.")
    session.run_name = path.name
    try:
        beside = session.train(_call_of_control(call, kind, main, other))
    finally:
        session.run_name = name
    session.load()
    test = None if result.test is None else beside_control(result.test, main, "test")
    return replace(result, test=test, control=beside)


def _can_repeat(main: RunInfo, control: RunInfo | None) -> bool:
    """Whether the control, begun or not, can still take the changes of settings that the run had on its way."""
    done, step = ((), 0) if control is None else (control.changes, control.latest_step or 0)
    left = main.changes[len(done) :]
    return [*main.changes[: len(done)]] == [*done] and all(change["step"] == step for change in left)


def _origin(call: TrainingCall) -> str:
    return str(call.settings.get("restore_from", "latest"))


def _require_trained(run: RunFolder, call: TrainingCall) -> None:
    """Return if the run of a call starts, or started, from weights that have learned something.

    Raises:
        SettingsError: it does not, or trains an adapter of them.
    """
    continued = _origin(call) in ("latest", "best") and run.exists
    if call.settings.get("lora_rank", run.info.description.settings.lora_rank if continued else 0):
        raise SettingsError(
            f"control compares {run.path.name} with the same training from random weights, and lora_rank was given: an "
            "adapter changes weights that have learned something. Leave one of the two out."
        )
    if (run.info.description.settings.restore_from if continued else _origin(call)) == RANDOM:
        raise SettingsError(
            f"control compares {run.path.name} with the same training from random weights, and it starts from these "
            'itself (restore_from="random"). Leave control out, or train another run without restore_from.'
        )


def _read_once() -> Callable[[Any, LabelledTextSettings], LabelledData]:
    """``open_labelled``, which returns again what it read at first: an iterator can be read once."""
    kept: list[LabelledData] = []

    def opened(dataset: Any, settings: LabelledTextSettings) -> LabelledData:
        if not kept:
            kept.append(open_labelled(dataset, settings))
        return kept[0]

    return opened


def _call_of_control(call: TrainingCall, kind: TaskKind, main: RunFolder, run: RunFolder) -> TrainingCall:
    """The call that starts or continues the control, ``run``, with all that the main run has recorded."""
    described = main.info.description
    replaces = call.settings.get("overwrite", False) and _origin(call) not in ("latest", "best")
    begins = {"restore_from": RANDOM if replaces or not run.exists else "latest", "overwrite": replaces}
    settings = {**vars(described.text_settings), **vars(described.settings), "seed": described.seed, **begins}

    kept = described.environment.get("precision")
    precision = {} if kept is None else {"precision": kept}

    def prepare(request: Request, loaded: LoadedModel, progress: ProgressBar) -> Prepared:
        return replace(kind.prepare(request, loaded, progress), test=lambda best, _: _keep(best, request, run))

    return TrainingCall(
        replace(kind, prepare=prepare),
        call.dataset,
        settings,
        call.callbacks,
        also={"weights_from": main.path, **precision},
    )


def _keep(best: LoadedModel, request: Request, run: RunFolder) -> None:
    """Write a control's probabilities for the parts that it did not train on, each float64 [texts, classes]."""
    from gpt2simple.evaluation.classification.classifier import TextClassifier  # here: loads TensorFlow

    settings, split = request.settings, request.dataset.split(request.seed)
    assert isinstance(settings, ClassifierSettings)
    classifier = TextClassifier(best, longest=settings.max_length)
    parts = {"held_out": split.validation, "test": split.test}
    found = {
        name: classifier.probabilities(part.texts, batch_size=settings.batch_size)[0]
        for name, part in parts.items() if part is not None
    }  # fmt: skip
    content = io.BytesIO()
    np.savez(content, latest_step=np.int64(RunFolder(run.path).info.latest_step or 0), **found)  # type: ignore[arg-type]
    atomic_write(run.path / PREDICTIONS_FILE, content.getvalue())


def beside_control(result: ClassificationResult, run: RunFolder, part: str) -> ClassificationResult:
    """The result of a run on a part of its texts, with the run's control among the baselines, if there is one.

    Args:
        part: "train", "held_out" or "test"; the first is not measured.
    """
    if part == "train":
        return result
    try:
        other = RunFolder(control_path(run.path))
    except SettingsError:  # the name of a control would be too long
        return result
    if not other.exists or not (other.path / PREDICTIONS_FILE).is_file():
        return result
    main = run.info.description
    try:
        info = other.info
        with np.load(other.path / PREDICTIONS_FILE, allow_pickle=False) as kept:
            finished = info.ended in _ENDED and int(kept["latest_step"]) == info.latest_step
            if not finished or info.changes != run.info.changes or not is_control(info.description, main):
                return result
            probabilities = kept[part]  # (N, C)
        names = [one.name for one in result.classes]
        texts = int(main.data_summary["training_texts"])
        return result.beside(random_weights(probabilities, result.labels, names, train_texts=texts))
    except Exception as damaged:  # it was to be shown beside the figures, and must not cost them
        logger.info(f"The control {other.path} is not shown: its figures cannot be read ({reason(damaged)}).")
        return result
