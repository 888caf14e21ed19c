"""The request of a call, checked before anything is loaded: for fine-tuning, completed by the run that it continues."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpt2simple.data.documents import plain_line_ends
from gpt2simple.data.prompt_template import ROLES, USER
from gpt2simple.errors import RunError, SettingsError
from gpt2simple.gpt2.config import Lora, ModelConfig
from gpt2simple.gpt2.hub.locate import folder_config, is_same_model, model_config_of, name_of_config, with_revision
from gpt2simple.gpt2.hub.repository import HubRecord
from gpt2simple.runs.description import RunInfo
from gpt2simple.runs.layout import RUN_FILE
from gpt2simple.runs.resume import RANDOM, begins_with, continues, require_task, with_recorded
from gpt2simple.runs.writer import RunWriter
from gpt2simple.settings import GenerateSettings, ReadingSettings, SessionSettings, TrainingSettings, build, pick
from gpt2simple.settings.fields import is_text
from gpt2simple.settings.session import DEFAULT_MODEL
from gpt2simple.settings.tasks import FUNCTIONS, TASK_SETTINGS
from gpt2simple.storage.contents import quoted

if TYPE_CHECKING:  # it loads TensorFlow, which checking a request does not need
    from gpt2simple.api.tasks import Prepared
    from gpt2simple.backend.precision import Precision
    from gpt2simple.data.prepare import ProgressBar
    from gpt2simple.gpt2.model import LoadedModel


INSTRUCTION_KEYS = ("instruction", "input")  # of a prompt that is an instruction


@dataclass(frozen=True, kw_only=True)
class TaskKind:
    """One of the tasks; nothing else in a fine-tuning call depends on which.

    Attributes:
        name: as run.json has it.
        open: a dataset and its settings -> what ``prepare`` takes; called before a model is loaded.
        labels: that -> the classes that the model has to tell apart; none for a language model.
        prepare: the request, the loaded model and a progress bar -> the data of the run.
    """

    name: str
    open: Callable[[Any, Any], Any]
    labels: Callable[[Any], tuple[str, ...]]
    prepare: Callable[[Request, LoadedModel, ProgressBar], Prepared]

    @property
    def function(self) -> str:
        """Of the API, which trains and continues such a run."""
        return FUNCTIONS[self.name]

    @property
    def settings(self) -> type[TrainingSettings]:
        """How such a model is trained."""
        return TASK_SETTINGS[self.name][0]

    @property
    def texts(self) -> type[ReadingSettings]:
        """How its dataset is read."""
        return TASK_SETTINGS[self.name][1]


@dataclass(frozen=True)
class TrainingCall:
    """A fine-tuning call as the user made it; the settings by name.

    Attributes:
        also: fields of its ``Request`` that do not follow from the settings.
    """

    kind: TaskKind
    dataset: Any
    settings: Mapping[str, Any]
    callbacks: Any
    also: Mapping[str, Any] = field(default_factory=dict)

    @property
    def of_training(self) -> dict[str, Any]:
        """The settings by which the model is trained."""
        return pick(self.settings, self.kind.settings)

    @property
    def of_text(self) -> dict[str, Any]:
        """Those by which the dataset is read."""
        return pick(self.settings, self.kind.texts)

    def check(self) -> list[Any]:
        """The user's callbacks, for tf_keras.

        Raises:
            SettingsError: a setting is out of range, or one of the callbacks is none.
        """
        from gpt2simple.training.callbacks.keras import adapt_callbacks  # here: Keras, which only training needs

        self.kind.settings(**self.of_training)
        self.kind.texts(**self.of_text)
        return adapt_callbacks(self.callbacks)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A fine-tuning call, its settings completed by those of the run that it continues.

    Attributes:
        weights_from: folder of the model that a new run starts from; None: the model of that name.
        random_weights: whether it takes only the shape and the tokenizer of that model.
        control: the run that follows as this one's control, see ``control``; None: none does.
        replicas: devices that train together, here and on other machines.
    """

    kind: TaskKind
    dataset: Any
    model_name: str
    weights_from: Path | None
    settings: TrainingSettings
    text: ReadingSettings
    precision: str  # dtype name of the products
    seed: int
    callbacks: Sequence[Any]  # tf_keras's
    messages: tuple[str, ...] = ()  # for the user
    random_weights: bool = False
    control: Path | None = None
    replicas: int = 1

    def __post_init__(self) -> None:
        self.settings.require_adapter()

    @property
    def lora(self) -> Lora | None:
        """The adapter that is trained; None: the model's own weights are."""
        return lora_of(self.settings, self.precision)


def lora_of(settings: TrainingSettings, precision: str) -> Lora | None:
    """The adapter of a run with these settings, whose products are computed in that precision; None: it has none."""
    if not settings.lora_rank:
        return None
    # Rounding the weights once gives the products what rounding them at each step gives.
    kept = "bfloat16" if precision == "bfloat16" else "float32"
    return Lora(
        rank=settings.lora_rank,
        alpha=settings.alpha,
        targets=settings.targets,
        base=kept if settings.base_precision == "auto" else settings.base_precision,
    )


def complete_request(
    kind: TaskKind,
    run: RunWriter,
    dataset: Any,
    finetune: Mapping[str, Any],
    text: Mapping[str, Any],
    callbacks: Sequence[Any],
    *,
    session: SessionSettings,
    precision: Precision,
    next_seed: Callable[[], int],
) -> Request:
    """The request of a fine-tuning call.

    Args:
        kind: of the task.
        run: the run's folder, which need not hold a run yet.
        finetune, text: the settings that the user gave by name; the others are the run's, or the defaults.
        session: names the model and its folder; without a name it is the run's model, that of the folder in
            ``restore_from``, or the default.
        precision: the session's; a run keeps its own unless the user named one.
        next_seed: returns a seed for a new run without one.

    Raises:
        RunError: ``restore_from`` does not fit the run's folder. SettingsError: its model is not the named one.
        CheckpointError: it holds none.
    """
    if continues(run, finetune.get("restore_from", "latest")):
        recorded = run.info.description
        require_task(recorded.task, kind.name, run.path)
        chosen = precision.training
        used = chosen if precision.named else recorded.environment.get("precision", chosen)
        settings = with_recorded(recorded.settings, finetune)
        at_step_0 = not run.checkpoints()
        origin = begins_with(run, settings.restore_from, overwrite=False) if at_step_0 else None
        folder = origin if isinstance(origin, Path) else None
        if folder is not None and session.model_name is not None:
            _name_of(folder, session)  # raises if the folder holds another model
        return Request(
            kind=kind,
            dataset=dataset,
            model_name=with_revision(session.model_name or recorded.model_name, recorded.model_name),
            weights_from=folder,
            settings=settings,
            text=with_recorded(recorded.text_settings, text),
            precision=used,
            seed=settings.seed if at_step_0 and settings.seed is not None else recorded.seed,
            callbacks=callbacks,
            messages=() if used == chosen else (_stays_in(used, chosen),),
            random_weights=origin == RANDOM,
        )
    settings = kind.settings(**finetune)
    origin = begins_with(run, settings.restore_from, overwrite=settings.overwrite)
    folder = origin if isinstance(origin, Path) else None
    return Request(
        kind=kind,
        dataset=dataset,
        model_name=(session.model_name or DEFAULT_MODEL) if folder is None else _name_of(folder, session),
        weights_from=folder,
        settings=settings,
        text=kind.texts(**text),
        precision=precision.training,
        seed=settings.seed if settings.seed is not None else next_seed(),
        callbacks=callbacks,
        random_weights=origin == RANDOM,
    )


def _name_of(folder: Path, session: SessionSettings) -> str:
    """The name under which a run records the model of a folder: as given, as recorded there, its size, or the folder.

    Raises:
        SettingsError: a model of another size was named. CheckpointError: the folder holds none.
    """
    config, model_name = folder_config(folder, Path(session.model_dir)), session.model_name
    if model_name is None:
        return _recorded_name(folder) or name_of_config(config) or str(folder)
    named = model_config_of(model_name, Path(session.model_dir))
    has_more_tokens = named == replace(config, n_vocab=named.n_vocab) and is_same_model(
        _recorded_name(folder) or "", model_name
    )
    if named != config and not has_more_tokens:
        raise SettingsError(
            f"The run would start from {folder}, a model of {_in_words(config)}, but model_name is {model_name!r}, a "
            f"model of {_in_words(named)}. Leave model_name out, or name the model that the folder comes from."
        )
    return model_name


def _recorded_name(folder: Path) -> str | None:
    if (of_hub := HubRecord.read(folder)) is not None:
        return of_hub.name
    with contextlib.suppress(RunError):  # a torn run.json: the model beside it may be whole
        return RunInfo.read(folder).description.model_name if (folder / RUN_FILE).is_file() else None
    return None


def _in_words(config: ModelConfig) -> str:
    return (
        f"{config.n_layer} layers of width {config.n_embd} with {config.n_head} heads, {config.n_ctx} tokens of "
        f"context and a vocabulary of {config.n_vocab}"
    )


def _stays_in(used: str, chosen: str) -> str:
    return f"This run started in {used} and continues in {used}; pass precision={chosen!r} to change it."


def new_seed() -> int:
    """A random seed."""
    return secrets.randbelow(2**31)


@dataclass(frozen=True)
class GenerateRequest:
    """A generation call.

    Attributes:
        prefixes: the texts to start from, with the line ends of training texts; or prompts. settings: for each prefix;
            if the seed is None, the session draws one.
        of_prompts: whether they are prompts, which the session writes by the template of its run.
    """

    prefixes: tuple[Any, ...]
    settings: GenerateSettings
    of_prompts: bool = False

    @classmethod
    def of(
        cls, prefix: Any, given: Mapping[str, Any], *, prompt: Any = None, texts_alone: bool = False
    ) -> GenerateRequest:
        """The request of a call.

        Args:
            prefix: one or several; None: "". given: settings by name; those of other classes are ignored.
            prompt: in place of a prefix, for a model trained on pairs: one or several texts, conversations, or dicts of
                an instruction and its input.
            texts_alone: whether the call returns plain texts, without log-probabilities.

        Raises:
            SettingsError: a prefix is not a string, or a setting is out of range.
        """
        settings = build(GenerateSettings, given)
        if texts_alone and settings.logprobs:
            raise SettingsError(
                "logprobs is True, but this call returns plain texts. session.samples(...) returns log-probabilities "
                "too, as does gpt2simple generate --json."
            )
        if prompt is not None:
            if prefix:
                raise SettingsError("prefix and prompt were both given; give one of the two.")
            return cls(checked_prompts(prompt), replace(_plain(settings), include_prefix=False), of_prompts=True)
        texts = (prefix or "",) if prefix is None or isinstance(prefix, str) else prefix
        prefixes = tuple(texts) if isinstance(texts, Iterable) else (texts,)
        if not all(isinstance(text, str) for text in prefixes):
            raise SettingsError(f"prefix is {quoted(prefix)}; expected a string or a list of strings.")
        return cls(tuple(map(plain_line_ends, prefixes)), _plain(settings))

    @classmethod
    def of_answers(cls, prompts: Any, given: Mapping[str, Any]) -> GenerateRequest:
        """The request of a call that answers prompts: the most probable token each time.

        Args:
            prompts, given: as ``of`` takes them.
        """
        return cls.of("", {**given, "temperature": 0.0, "seed": 0}, prompt=() if prompts is None else prompts)

    @property
    def total(self) -> int:
        """The number of samples."""
        return len(self.prefixes) * self.settings.nsamples

    @property
    def message(self) -> str | None:
        """A hint for the user where a prefix ends in a space; a tab or a no-break space there is a token of its own in
        training texts too."""
        if self.of_prompts or not any(text.endswith(" ") and text.strip() for text in self.prefixes):
            return None
        return (
            "The prefix ends in a space. GPT-2's tokens include the space before a word, so after this one the model "
            "writes a second space or an unlikely word. Better leave it out."
        )

    def settings_with(self, new_seed: Callable[[], int]) -> GenerateSettings:
        """The settings, with a new seed if the call gave none."""
        return self.settings if self.settings.seed is not None else replace(self.settings, seed=new_seed())

    def number(self, n: int) -> GenerateRequest:
        """The request for file n (from 0): a given seed grows by n, so that no two files are equal."""
        seed = self.settings.seed
        return self if seed is None else replace(self, settings=replace(self.settings, seed=seed + n))

    def require_one_text(self) -> None:
        """Raise SettingsError unless the request is for one text."""
        nsamples = self.settings.nsamples
        if nsamples != 1:
            raise SettingsError(f"nsamples is {nsamples}; stream() generates one. Use generate(nsamples={nsamples}).")
        if self.total != 1:
            raise SettingsError(f"prefix holds {self.total} texts; stream() generates one. Use pieces(prefix).")


def checked_prompts(given: Any) -> tuple[Any, ...]:
    """Prompts with the line ends of training texts.

    Args:
        given: a text, a conversation, an instruction, or several of them.

    Raises:
        SettingsError: there is none, or one is blank, or no text, conversation of known roles or instruction.
    """
    one_alone = isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable)
    prompts = [given] if one_alone else list(given)
    if prompts and all(isinstance(message, Mapping) and "role" in message for message in prompts):
        prompts = [prompts]  # one conversation
    if not prompts:
        raise SettingsError("prompt is empty; give a text, a conversation, an instruction, or a list of them.")
    return tuple(map(_checked_prompt, prompts))


def _checked_prompt(prompt: Any) -> Any:
    if is_text(prompt) and prompt.strip():
        return plain_line_ends(prompt)
    if isinstance(prompt, list) and prompt and all(map(_is_message, prompt)):
        return [{**message, "content": plain_line_ends(message["content"])} for message in prompt]
    if isinstance(prompt, Mapping) and _is_instruction(prompt):
        return {key: plain_line_ends(prompt.get(key) or "") for key in INSTRUCTION_KEYS}
    raise SettingsError(
        f"A prompt is {quoted(prompt)}; expected a text that is not blank, a list of messages such as "
        f"{{'role': 'user', 'content': 'What is the capital of France?'}}, with the roles {', '.join(ROLES)}, or "
        "{'instruction': ..., 'input': ...}."
    )


def _is_instruction(prompt: Mapping[str, Any]) -> bool:
    fits = prompt.keys() <= {*INSTRUCTION_KEYS} and all(text is None or is_text(text) for text in prompt.values())
    return fits and bool((prompt.get("instruction") or "").strip())


def _is_message(value: Any) -> bool:
    if not isinstance(value, Mapping) or value.get("role") not in ROLES or not is_text(value.get("content")):
        return False
    return value["role"] != USER or bool(value["content"].strip())


def _plain(settings: GenerateSettings) -> GenerateSettings:
    """The settings with the line ends of training texts."""
    return replace(
        settings,
        stop=tuple(map(plain_line_ends, settings.stop)),
        bad_words=tuple(map(plain_line_ends, settings.bad_words)),
        truncate=None if settings.truncate is None else plain_line_ends(settings.truncate),
    )
