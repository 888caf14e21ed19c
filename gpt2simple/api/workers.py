"""A fine-tuning call that several workers make together: what the chief tells the others, and that all agree on.

The chief alone reads and writes the run's folder. Every method here is called by all workers in the same order. What
fails on one worker ends the call on all, with an error that names it; with one worker nothing happens but the call.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from gpt2simple.api.language import LANGUAGE
from gpt2simple.api.pairs import PAIRS, kind_of
from gpt2simple.api.request import Request, TaskKind, TrainingCall
from gpt2simple.backend.packages import versions
from gpt2simple.backend.replicas import Replicas
from gpt2simple.backend.tensorflow import Variable, tf
from gpt2simple.errors import SettingsError, WorkerError
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.writer import RunWriter, locked_run
from gpt2simple.settings import from_json, to_json
from gpt2simple.storage.contents import quoted

ValueT = TypeVar("ValueT")

# Settings that say where a worker finds things, or what the chief alone does.
_OF_ONE = frozenset({
    "restore_from", "overwrite", "cache_dir", "validation_file", "test_file", "print_every", "save_every",
    "max_checkpoints", "sample_every", "sample_length",
})  # fmt: skip
_NOT_THERE = "of-another-worker"
_COMPARED_VERSIONS = ("gpt2simple", "tensorflow")


class Team:
    """The workers of a call.

    Attributes:
        replicas: theirs.
    """

    def __init__(self, replicas: Replicas) -> None:
        self.replicas = replicas

    @property
    def is_chief(self) -> bool:
        return self.replicas.is_chief

    def run_folder(self, path: Path) -> contextlib.AbstractContextManager[RunWriter]:
        """The run's folder, locked, for the chief; for the others one that is not there, which nothing is written to.

        They must not look into the chief's either, which they see where workers share a disk.
        """
        return locked_run(path) if self.is_chief else contextlib.nullcontext(RunWriter(path / _NOT_THERE))

    def together(self, compute: Callable[[], ValueT], tell: Callable[[ValueT], Any] = lambda _: None) -> ValueT:
        """What a worker computes, once all have.

        Args:
            tell: that -> JSON values by name, which must be the same for all.

        Raises:
            WorkerError: another worker has failed, or tells something else.
        """
        value, told = self._each(compute, tell)
        self._require_equal(told)
        return value

    def of_chief(self, compute: Callable[[], ValueT], to_json: Callable[[ValueT], Any]) -> tuple[Any, Any]:
        """What the chief computes, None for others, and as JSON for all."""
        if self.is_chief:
            value, told = self._each(compute, to_json)
            return value, told[0]
        _, told = self._each(lambda: None, lambda _: None)
        return None, told[0]

    def share(self, variables: Callable[[], Iterable[Variable]]) -> None:
        """Give all workers the values of the chief's variables, if any of them has others."""
        if self.replicas.workers == 1:
            return
        found, digest = list(variables()), hashlib.sha256()
        for variable in found:
            digest.update(variable.numpy().tobytes())
        if len(set(self.replicas.gather(digest.hexdigest()))) == 1:
            return
        for variable in found:
            value = tf.cast(variable, tf.float32).numpy()
            variable.assign(tf.cast(self.replicas.broadcast(value), variable.dtype))

    def _each(self, compute: Callable[[], ValueT], tell: Callable[[ValueT], Any]) -> tuple[ValueT, list[Any]]:
        if self.replicas.workers == 1:
            value = compute()
            return value, [tell(value)]
        try:
            value = compute()
            report = {"told": tell(value)}
        except WorkerError:
            raise
        except Exception as error:
            with contextlib.suppress(Exception):  # another may have ended, too
                self.replicas.gather({"error": f"{type(error).__name__}: {error}"})
            self.replicas.barrier()
            raise
        reports = self.replicas.gather(report)
        for worker, other in enumerate(reports):
            if "error" in other:
                self.replicas.barrier()
                raise WorkerError(
                    f"{self.replicas.name(worker)} has ended with {other['error']} Correct that there, and start all "
                    "workers again."
                )
        return value, [other["told"] for other in reports]

    def _require_equal(self, told: Iterable[Mapping[str, Any] | None]) -> None:
        first, *others = told
        for worker, other in enumerate(others, 1):
            if other == first or other is None or first is None:
                continue
            name = next(name for name in {**first, **other} if first.get(name) != other.get(name))
            ours, theirs = (quoted(values[name]) if name in values else "none" for values in (first, other))
            self.replicas.barrier()
            raise WorkerError(
                f"{self.replicas.name(worker)} has another {name} than the chief, {self.replicas.name(0)}: {theirs}, "
                f"not {ours}. Give all workers the same, and start them again."
            )


def require_one_process(replicas: Replicas) -> None:
    """Raise SettingsError for a control, which is computed after the run, where workers train it."""
    if replicas.workers > 1:
        raise SettingsError(
            "control is true, and several workers train together. Train without it first; then give the same call with "
            'control=True and strategy="single", which trains the control alone.'
        )


def kind_for_all(team: Team, dataset: Any, given: Mapping[str, Any], run: RunFolder) -> TaskKind:
    """``kind_of``, by the chief, which alone has the run."""
    with team.replicas.naming_lost_peers():
        kind, name = team.of_chief(lambda: kind_of(dataset, given, run), lambda kind: kind.name)
    return kind or {kind.name: kind for kind in (LANGUAGE, PAIRS)}[name]


def of_call(call: TrainingCall, precision: str) -> dict[str, Any]:
    """What all workers must have in common before they begin."""
    installed = versions()
    return {
        **{f"version of {name}": installed.get(name) for name in _COMPARED_VERSIONS},
        "function": call.kind.function,
        "precision": precision,
        **{name: repr(value) for name, value in sorted(call.settings.items()) if name not in _OF_ONE},
    }


def request_for_all(
    team: Team, call: TrainingCall, complete: Callable[[], Request], callbacks: Sequence[Any]
) -> Request:
    """The chief's request, with the dataset of each worker opened.

    Args:
        call: as it was made here. complete: makes the request, on the chief. callbacks: the user's, here, of tf_keras.
    """
    request, told = team.of_chief(complete, _request_to_json)
    request = request or _request_from_json(told, call, callbacks)
    opened = team.together(lambda: call.kind.open(request.dataset, request.text))
    return replace(request, dataset=opened, replicas=team.replicas.count, **call.also)


def _request_to_json(request: Request) -> dict[str, Any]:
    return {
        "model_name": request.model_name,
        "weights_from": None if request.weights_from is None else str(request.weights_from),
        "settings": to_json(request.settings),
        "text": {name: value for name, value in to_json(request.text).items() if name not in _OF_ONE},
        "precision": request.precision,
        "seed": request.seed,
        "random_weights": request.random_weights,
    }


def _request_from_json(values: Mapping[str, Any], call: TrainingCall, callbacks: Sequence[Any]) -> Request:
    """The chief's request for another worker, which finds its dataset and the model by itself."""
    kind, origin = call.kind, values["weights_from"]
    own = to_json(kind.texts(**call.of_text))
    return Request(
        kind=kind, dataset=call.dataset, model_name=values["model_name"],
        weights_from=None if origin is None or not Path(origin).is_dir() else Path(origin),
        settings=replace(from_json(kind.settings, values["settings"]), restore_from="fresh", overwrite=False),
        text=from_json(kind.texts, own | values["text"]), precision=values["precision"], seed=values["seed"],
        callbacks=callbacks, random_weights=values["random_weights"],
    )  # fmt: skip
