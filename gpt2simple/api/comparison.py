"""Several models, one after the other, on the same texts; finished ones are not repeated, whatever they learn.

Knows the folder, what was asked, which results are there already, and what is written at the end; knows no task.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gpt2simple.api.result import FinetuneResult
from gpt2simple.api.session import Session
from gpt2simple.backend.memory import PeakMemory
from gpt2simple.backend.strategies import on_one_machine
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.evaluation.report.comparison import ModelsCompared, RowT, comparison_page, labelled
from gpt2simple.evaluation.verdict import verdict_title
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import canonical_name, folder_config, model_folder, recorded_name
from gpt2simple.runs import metrics
from gpt2simple.runs.figure import to_png, to_svg
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.resume import listed
from gpt2simple.settings import SessionSettings, TrainingSettings
from gpt2simple.settings.compare import FULL, LORA, MethodSettings
from gpt2simple.storage.contents import content_errors, json_digest, json_text, quoted, read_json
from gpt2simple.storage.disk import make_folder
from gpt2simple.storage.files import atomic_write
from gpt2simple.storage.outputs import check_unused

logger = logging.getLogger(__name__)

# Of its texts a comparison records only digests, which mean nothing to people.
_TEXTS = {"text": "another text", "validation_file": "another validation_file"}
_RUN_ENDS = {FULL: "", LORA: "-lora"}
_RATE_OF = {FULL: "", LORA: "with LoRA "}


class Candidate(NamedTuple):
    """A model, trained by a method.

    Attributes:
        model: its name. method: "full" or "lora". training: the settings of fine-tuning that make it this method.
    """

    model: str
    method: str
    training: Mapping[str, Any]

    @property
    def label(self) -> str:
        """For people."""
        return labelled(self.model, self.method)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What is the same for all models.

    Attributes:
        folder: of the comparison; the runs' names begin with its name.
        place: folders of models and runs, and how to compute.
        asked: must not change when the comparison is continued; JSON values. Of texts they are digests.
    """

    folder: Path
    place: SessionSettings
    asked: dict[str, Any]

    @property
    def files(self) -> dict[str, Path]:
        """The files of the result, by the names that it has for them."""
        names = {"path": "compare.html", "json_path": "compare.json", "picture": "compare.png"}
        return {name: self.folder / file for name, file in names.items()}

    def run_name(self, candidate: Candidate) -> str:
        """The run of a model."""
        return _run_name(self.folder.name, candidate)

    def session(self, candidate: Candidate, seed: int | None) -> Session:
        """A session for the run of a model."""
        named = {"model_name": candidate.model, "run_name": self.run_name(candidate)}
        strategy = on_one_machine(self.place.strategy)
        return Session(**{**vars(self.place), **named, "seed": seed, "strategy": strategy})

    def begin(self, renamed: Mapping[str, str] | None = None) -> None:
        """Make the folder of a new comparison, and record in it what was asked; or see that an earlier one asked that.

        Args:
            renamed: names that settings had in earlier versions, with those of today.

        Raises:
            RunError: an existing one was asked for something else. SettingsError: the folder holds something else.
        """
        make_folder(self.folder)
        path = self.files["json_path"]
        if not path.is_file():
            check_unused(self.folder)
            atomic_write(path, json.dumps({"asked": self.asked}, indent=1) + "\n")
            return
        before = {(renamed or {}).get(name, name): value for name, value in _read_asked(path).items()}
        changed = [name for name, value in self.asked.items() if before.get(name, value) != value]
        if changed:
            settings = [name for name in changed if name not in _TEXTS]
            given = f"{listed(before, settings)}, and this call gives {listed(self.asked, settings)}"
            differences = [given] if settings else []
            differences += [_TEXTS[name] for name in changed if name in _TEXTS]
            raise RunError(
                f"The comparison {self.folder} was started with {'; and with '.join(differences)}: the results could "
                "not be compared. Use the same text and settings to continue it, or another name than "
                f"{self.folder.name!r}."
            )

    def row(self, candidate: Candidate, key: Any, row_type: type[RowT], measure: Callable[[], RowT]) -> RowT:
        """The results of a model, read if an earlier call has saved them.

        Args:
            key: JSON values by which saved results are known to be of this comparison.
            measure: trains and measures the model.
        """
        kept = self.folder / f"{self.run_name(candidate)}.json"
        with contextlib.suppress(Exception):  # no such file, or a damaged one: the run itself holds the results
            values = read_json(kept)
            if values["key"] == key and values["sha256"] == json_digest([values["key"], values["row"]]):
                row = row_type.from_json(values["row"])
                logger.info(f"{candidate.label}: finished before; results read from {kept}.")
                return row
        row = measure()
        # As it is read again: lists, and null for what is not finite.
        saved = json.loads(json_text(asdict(row)))
        atomic_write(kept, json_text({"key": key, "row": saved, "sha256": json_digest([key, saved])}, indent=1) + "\n")
        return row


@dataclass(frozen=True, kw_only=True)
class SplitComparison(Comparison):
    """What is the same for all models that are trained on a part of a dataset, and tested on another.

    Attributes:
        data: the dataset, opened. training: how each is trained, settings by name.
        tested: whether on a test part; False: on the validation part.
    """

    data: Any
    training: dict[str, Any]
    tested: bool

    def trained_row(
        self,
        candidate: Candidate,
        config: ModelConfig,
        row_type: Any,
        train_and_test: Callable[[Session, Mapping[str, Any]], tuple[FinetuneResult, Any]],
        about: Callable[[FinetuneResult, Any], dict[str, Any]],
        *,
        metric: str,
    ) -> Any:
        """The results of a model, read if an earlier call has saved them.

        Args:
            row_type: of the results, made by its ``of``.
            train_and_test: with the settings of training, by name; gives its result, and the figures.
            about: the result of training, and the run's settings -> further fields of the row.
            metric: what is shown of each evaluation beside its loss.
        """

        def measure() -> Any:
            logger.info(f"{candidate.label}: {config.parameters:,} parameters.")
            with self.session(candidate, self.training["seed"]) as session, PeakMemory() as memory:
                result, found = train_and_test(session, {**self.training, **candidate.training})
                run_dir = session.run_dir
            recorded, settings = metrics.read(run_dir), RunFolder(run_dir).info.description.settings
            return row_type.of(
                found,
                model_name=recorded_name(candidate.model),
                run_name=self.run_name(candidate),
                method=candidate.method,
                parameters=config.parameters,
                steps=result.steps,
                best_step=result.best_step,
                validation_loss=result.best_loss,
                verdict=verdict_title(recorded, settings),
                seconds=result.seconds,
                memory_bytes=None if result.reason == "done" else memory.bytes,
                evaluations=tuple(
                    (each.step, each.loss, each.figures.scalars()[metric]) for each in recorded.evaluations
                ),
                **about(result, settings),
            )

        return self.row(candidate, self.asked, row_type, measure)


def candidates_of(model_names: Sequence[str], settings: MethodSettings, name: str) -> list[Candidate]:
    """What is compared: each model, in one spelling, by each method.

    Args:
        name: of the comparison.

    Raises:
        SettingsError: there are fewer than two, or a model is named twice.
    """
    names = [canonical_name(model) for model in model_names]
    found = [Candidate(model, method, settings.training_by(method)) for model in names for method in settings.methods]
    if len({_run_name(name, candidate) for candidate in found}) != len(found) or len(found) < 2:
        raise SettingsError(
            f"model_names is {quoted(list(model_names))}; expected two or more different models, such as "
            f'["tiny", "124M", "355M"], or one with methods=["{FULL}", "{LORA}"].'
        )
    return found


def _run_name(name: str, candidate: Candidate) -> str:
    return f"{name}-" + re.sub(r"[^\w.-]+", "-", Path(candidate.model).name) + _RUN_ENDS[candidate.method]


def shapes_of(candidates: Sequence[Candidate], models: Path) -> dict[str, ModelConfig]:
    """The shapes of the models, by name; a model that is not there is downloaded.

    Args:
        models: their folder.
    """
    names = dict.fromkeys(candidate.model for candidate in candidates)
    return {model: folder_config(model_folder(model, models), models) for model in names}


def rates_in_words(learning_rate: float | None, candidates: Sequence[Candidate]) -> str:
    """The peak learning rate of each method; None: its default one."""
    settings = {
        candidate.method: TrainingSettings(learning_rate=learning_rate, **candidate.training)
        for candidate in candidates
    }
    rates = [f"{_RATE_OF[method]}{one.rate_for(0):g}" for method, one in settings.items()]  # the same for all sizes
    return f"learning rate {', '.join(rates)}"


def _read_asked(path: Path) -> dict[str, Any]:
    """The settings and text that a comparison has recorded."""

    def clear(reason: str, _error: Exception) -> SettingsError:
        return SettingsError(
            f"{path} is not from a comparison ({reason}), so nothing in its folder is replaced. Choose another name "
            f"than {path.parent.name!r}."
        )

    with content_errors(clear):
        return dict(read_json(path)["asked"])


def common_length(max_length: int | None, shapes: Mapping[str, ModelConfig]) -> int:
    """The tokens of a text that each model reads: ``max_length``, or as many as all models can.

    Raises:
        SettingsError: one of them reads fewer.
    """
    shortest = min(shape.n_ctx for shape in shapes.values())
    if max_length is not None and max_length > shortest:
        raise SettingsError(
            f"max_length is {max_length}; one of the models reads at most {shortest} tokens. Use a smaller max_length."
        )
    return max_length or shortest


def require_whole(result: FinetuneResult, candidate: Candidate) -> None:
    """Raise KeyboardInterrupt where training was interrupted: the run is kept, but has no results yet."""
    if result.reason == "interrupted":
        logger.info(f"Interrupted at step {result.steps} of {candidate.label}. The same call continues from there.")
        raise KeyboardInterrupt


def write(result: ModelsCompared[Any]) -> None:
    """Write the files of a result: the page, its numbers and the figure."""
    figure = result.figure()
    atomic_write(result.picture, to_png(figure), durable=False)
    atomic_write(result.path, comparison_page(result, to_svg(figure)), durable=False)
    atomic_write(result.json_path, json_text(result.to_json(), indent=1) + "\n", durable=False)
