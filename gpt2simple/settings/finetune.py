"""How a model is fine-tuned: length, learning rate, memory, checkpoints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields, replace
from typing import Self

from gpt2simple.errors import SettingsError
from gpt2simple.settings.fields import check, is_text, like, setting, texts_to_tuples
from gpt2simple.storage.contents import quoted

# Groups of settings.
LENGTH = "How long to train"
LEARNING = "How to train"
MEMORY = "Adapter (LoRA) and memory"
KEPT = "Checkpoints, samples, continuing"

FULL_RATE = 1e-4
LORA_FACTOR = 10  # of learning rates: an adapter wants a higher one
OF_ADAPTERS = ("lora_alpha", "lora_dropout", "lora_targets", "base_precision")  # beside lora_rank
LORA_TARGETS = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
_MOST_SPECIAL_TOKENS = 1000
_LONGEST_SPECIAL_TOKEN = 100  # characters


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a model is trained, whatever its task."""

    steps: int | None = setting(
        None,
        "Optimizer steps of the whole run; without steps or epochs: until held-out loss stops falling, or 100 if "
        "nothing is held out.",
        minimum=1,
        group=LENGTH,
        common=True,
    )
    epochs: float | None = setting(
        None,
        "Passes over the training text, rounded up to whole steps; instead of steps.",
        above=0.0,
        group=LENGTH,
        common=True,
    )
    batch_size: int = setting(1, "Windows per micro-batch.", minimum=1, group=LEARNING, common=True)
    accumulate_gradients: int = setting(1, "Micro-batches per optimizer step.", minimum=1, group=LEARNING)
    learning_rate: float | None = setting(
        None,
        f"Peak learning rate; None: {FULL_RATE:g}, with lora_rank {LORA_FACTOR * FULL_RATE:g}.",
        above=0.0,
        group=LEARNING,
        common=True,
    )
    schedule: str = setting(
        "constant",
        "Learning rate after the warm-up; linear and cosine fall to 0 at the last step and need steps or epochs.",
        choices=("constant", "linear", "cosine"),
        group=LEARNING,
    )
    warmup_steps: int = setting(
        10, "Steps over which the learning rate rises linearly from 0.", minimum=0, group=LEARNING
    )
    optimizer: str = setting(
        "adamw", "Optimizer; sgd is without momentum.", choices=("adamw", "adam", "sgd"), group=LEARNING
    )
    weight_decay: float = setting(
        0.01, "Weight decay of AdamW; biases and layer norms are left out.", minimum=0.0, group=LEARNING
    )
    clip_norm: float = setting(
        1.0, "Clip gradients to this global L2 norm; 0: no clipping.", minimum=0.0, group=LEARNING
    )
    dropout: float = setting(0.0, "Dropout rate during training.", minimum=0.0, maximum=0.9, group=LEARNING)
    only_train_transformer_layers: bool = setting(False, "Freeze the token and position embeddings.", group=LEARNING)
    train_last_n_layers: int | None = setting(
        None, "Train only the last n layers and the final layer norm.", minimum=1, group=LEARNING
    )
    lora_rank: int = setting(
        0,
        "Rank of an adapter (LoRA), such as 16; it is trained in place of the model's own weights: less memory, and "
        "small checkpoints; 0: all weights are trained.",
        minimum=0,
        maximum=1024,
        group=MEMORY,
        common=True,
    )
    lora_alpha: float | None = setting(
        None,
        "What the adapter computes is multiplied by lora_alpha / lora_rank; None: twice the rank.",
        above=0.0,
        group=MEMORY,
    )
    lora_dropout: float = setting(
        0.0, "Dropout rate of the adapter's input during training.", minimum=0.0, maximum=0.9, group=MEMORY
    )
    lora_targets: tuple[str, ...] = setting(
        (),
        f"Projections of each layer that have an adapter: {', '.join(LORA_TARGETS)}; none named: all four.",
        group=MEMORY,
    )
    base_precision: str = setting(
        "auto",
        "With lora_rank, how the model's own weights are kept in memory; auto: in the precision of training; int8 "
        "takes least.",
        choices=("auto", "float32", "bfloat16", "int8"),
        group=MEMORY,
    )
    gradient_checkpointing: bool | None = setting(
        None,
        "Recompute activations in the backward pass: less memory, about a third more time; None: if memory is short.",
        group=MEMORY,
    )
    seed: int | None = setting(
        None, "Random seed of the run; None: a new one, which the run records.", minimum=0, group=LEARNING, common=True
    )
    eval_every: int | str | None = setting(
        None,
        'Steps between evaluations on the held-out text, or "epoch"; None: a quarter of an epoch, within 10 to 200.',
        minimum=1,
        group=LENGTH,
    )
    early_stopping_patience: int | None = setting(
        3,
        "Evaluations without improvement before training stops; used when neither steps nor epochs is given.",
        minimum=1,
        group=LENGTH,
    )
    save_every: int | None = setting(
        None,
        "Steps between checkpoints; None: at each new lowest held-out loss, and every ten minutes.",
        minimum=1,
        group=KEPT,
    )
    max_checkpoints: int = setting(
        2, "Checkpoints to keep; the best and the latest are kept in any case.", minimum=1, group=KEPT
    )
    print_every: int = setting(
        10, "Steps between progress lines where no progress bar is shown.", minimum=1, group=KEPT
    )
    restore_from: str = setting(
        "latest",
        'Where to begin; "latest": continue the run, or start it if there is none; "best": continue from its best '
        'step; "fresh": start a new run; "random": start one from random weights of the model\'s shape; or a model '
        "folder.",
        path=True,
        group=KEPT,
        common=True,
    )
    overwrite: bool = setting(
        False, 'Replace an existing run; with restore_from="fresh", "random" or a folder.', group=KEPT, common=True
    )

    def __post_init__(self) -> None:
        texts_to_tuples(self, "lora_targets")
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        found = _wrong_adapter(self)
        if self.steps is not None and self.epochs is not None:
            found.append(f"steps is {self.steps} and epochs is {self.epochs}; give one of the two.")
        if isinstance(self.eval_every, str) and self.eval_every != "epoch":
            found.append(f'eval_every is {self.eval_every!r}; expected a number of steps or "epoch".')
        if self.only_train_transformer_layers and self.train_last_n_layers is not None:
            found.append("only_train_transformer_layers and train_last_n_layers were both given; give one of the two.")
        return found

    def require_adapter(self) -> None:
        """Raise SettingsError if there is a setting of an adapter and no adapter.

        Called where the settings are complete: those of a call that continues a run may leave the run's rank out.
        """
        given = [
            f.name for f in fields(TrainingSettings) if f.name in OF_ADAPTERS and getattr(self, f.name) != f.default
        ]
        if given and not self.lora_rank:
            raise SettingsError(f"{given[0]} was given, and lora_rank is 0, so there is no adapter; give both.")

    @property
    def fits_adapter(self) -> bool:
        """Whether an adapter could be trained with the other settings."""
        return not _not_beside_adapter(self)

    @property
    def alpha(self) -> float:
        """``lora_alpha``, or what its default stands for."""
        return 2.0 * self.lora_rank if self.lora_alpha is None else self.lora_alpha

    @property
    def targets(self) -> tuple[str, ...]:
        """The projections that have an adapter, each once, in the model's order."""
        return tuple(name for name in LORA_TARGETS if name in (self.lora_targets or LORA_TARGETS))

    def in_effect(self, parameters: int) -> Self:
        """The same with the values that defaults stand for, for a model of so many parameters."""
        full = replace(self, learning_rate=self.rate_for(parameters))
        return replace(full, lora_alpha=self.alpha, lora_targets=self.targets) if self.lora_rank else full

    def rate_for(self, parameters: int) -> float:
        """The peak learning rate for a model of so many parameters."""
        if self.learning_rate is not None:
            return self.learning_rate
        return LORA_FACTOR * FULL_RATE if self.lora_rank else FULL_RATE

    def patience_until(self, last_step: int | None) -> int | None:
        """Evaluations without improvement before a run with this last step stops; None: it does not."""
        return self.early_stopping_patience if last_step is None else None


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(TrainingSettings):
    """How the model is fine-tuned."""

    early_stopping_patience: int = like(TrainingSettings, "early_stopping_patience")
    window: int | None = setting(
        None, "Context length in tokens; None: the model's maximum.", minimum=2, group=LEARNING, common=True
    )
    special_tokens: tuple[str, ...] = setting(
        (),
        "Tokens to add to the model, such as <speaker1>: each is read and generated as one token, and has a row of the "
        "embedding, which begins as the mean of the tokens that spelled it.",
        group=LEARNING,
    )
    sample_every: int | None = setting(
        None, "Steps between generated samples; None: 100; 0: no samples.", minimum=0, group=KEPT
    )
    sample_length: int = setting(100, "Length of these samples in tokens.", minimum=1, group=KEPT)

    def __post_init__(self) -> None:
        texts_to_tuples(self, "special_tokens")
        super().__post_init__()

    def _contradictions(self) -> list[str]:
        found = super()._contradictions() + _wrong_special_tokens(self.special_tokens)
        if self.special_tokens and (self.only_train_transformer_layers or self.train_last_n_layers is not None):
            name = "train_last_n_layers" if self.train_last_n_layers else "only_train_transformer_layers"
            found.append(
                f"special_tokens adds rows to the embedding, and {name} leaves it untrained; give one of the two."
            )
        return found


def _wrong_adapter(settings: TrainingSettings) -> list[str]:
    if unknown := [name for name in settings.lora_targets if name not in LORA_TARGETS]:
        return [f"lora_targets holds {quoted(unknown[0])}; expected some of {', '.join(LORA_TARGETS)}."]
    return _not_beside_adapter(settings) if settings.lora_rank else []


def _not_beside_adapter(settings: TrainingSettings) -> list[str]:
    for name in ("only_train_transformer_layers", "train_last_n_layers"):
        if getattr(settings, name):
            return [f"{name} and lora_rank were both given; an adapter is trained in all layers; give one of the two."]
    if settings.restore_from == "random":
        return [
            'restore_from is "random", and an adapter changes weights that have learned something; leave lora_rank out.'
        ]
    return []


def _wrong_special_tokens(tokens: tuple[str, ...]) -> list[str]:
    if len(tokens) > _MOST_SPECIAL_TOKENS:
        return [
            f"special_tokens has {len(tokens):,} entries; expected at most {_MOST_SPECIAL_TOKENS:,}. For another "
            "vocabulary, make a tokenizer and a model: `gpt2simple tokenizer`."
        ]
    wrong = [t for t in tokens if not (is_text(t) and t.strip() and len(t) <= _LONGEST_SPECIAL_TOKEN)]
    if wrong:
        return [
            f"special_tokens holds {quoted(wrong[0])}; expected strings of valid Unicode of 1 to "
            f"{_LONGEST_SPECIAL_TOKEN} characters, not only white space."
        ]
    if twice := [t for t, count in Counter(tokens).items() if count > 1]:
        return [f"special_tokens holds {twice[0]!r} {tokens.count(twice[0])} times; give each once."]
    return []
