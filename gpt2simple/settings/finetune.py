"""How a model is fine-tuned: length, learning rate, memory, checkpoints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gpt2simple.settings.fields import check, is_text, like, setting, texts_to_tuples
from gpt2simple.storage.contents import quoted

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
    )
    epochs: float | None = setting(
        None, "Passes over the training text, rounded up to whole steps; instead of steps.", above=0.0
    )
    batch_size: int = setting(1, "Windows per micro-batch.", minimum=1)
    accumulate_gradients: int = setting(1, "Micro-batches per optimizer step.", minimum=1)
    learning_rate: float | None = setting(1e-4, "Peak learning rate.", above=0.0)
    schedule: str = setting(
        "constant",
        "Learning rate after the warm-up; linear and cosine fall to 0 at the last step and need steps or epochs.",
        choices=("constant", "linear", "cosine"),
    )
    warmup_steps: int = setting(10, "Steps over which the learning rate rises linearly from 0.", minimum=0)
    optimizer: str = setting("adamw", "Optimizer; sgd is without momentum.", choices=("adamw", "adam", "sgd"))
    weight_decay: float = setting(0.01, "Weight decay of AdamW; biases and layer norms are left out.", minimum=0.0)
    clip_norm: float = setting(1.0, "Clip gradients to this global L2 norm; 0: no clipping.", minimum=0.0)
    dropout: float = setting(0.0, "Dropout rate during training.", minimum=0.0, maximum=0.9)
    only_train_transformer_layers: bool = setting(False, "Freeze the token and position embeddings.")
    train_last_n_layers: int | None = setting(None, "Train only the last n layers and the final layer norm.", minimum=1)
    gradient_checkpointing: bool | None = setting(
        None,
        "Recompute activations in the backward pass: less memory, about a third more time; None: if memory is short.",
    )
    seed: int | None = setting(None, "Random seed of the run; None: a new one, which the run records.", minimum=0)
    eval_every: int | str | None = setting(
        None,
        'Steps between evaluations on the held-out text, or "epoch"; None: a quarter of an epoch, within 10 to 200.',
        minimum=1,
    )
    early_stopping_patience: int | None = setting(
        3,
        "Evaluations without improvement before training stops; used when neither steps nor epochs is given.",
        minimum=1,
    )
    save_every: int | None = setting(
        None, "Steps between checkpoints; None: at each new lowest held-out loss, and every ten minutes.", minimum=1
    )
    max_checkpoints: int = setting(2, "Checkpoints to keep; the best and the latest are kept in any case.", minimum=1)
    print_every: int = setting(10, "Steps between progress lines where no progress bar is shown.", minimum=1)
    restore_from: str = setting(
        "latest",
        '"latest": continue the run, or start it if there is none; "best": continue from its best step; "fresh": start '
        'a new run; "random": start one from random weights of the model\'s shape; or a model folder to start from.',
        path=True,
    )
    overwrite: bool = setting(False, 'With restore_from="fresh", "random" or a folder: replace an existing run.')

    def __post_init__(self) -> None:
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        found = []
        if self.steps is not None and self.epochs is not None:
            found.append(f"steps is {self.steps} and epochs is {self.epochs}; give one of the two.")
        if isinstance(self.eval_every, str) and self.eval_every != "epoch":
            found.append(f'eval_every is {self.eval_every!r}; expected a number of steps or "epoch".')
        if self.only_train_transformer_layers and self.train_last_n_layers is not None:
            found.append("only_train_transformer_layers and train_last_n_layers were both given; give one of the two.")
        return found

    def rate_for(self, parameters: int) -> float:
        """The peak learning rate for a model of so many parameters."""
        assert self.learning_rate is not None
        return self.learning_rate

    def patience_until(self, last_step: int | None) -> int | None:
        """Evaluations without improvement before a run with this last step stops; None: it does not."""
        return self.early_stopping_patience if last_step is None else None


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(TrainingSettings):
    """How the model is fine-tuned."""

    learning_rate: float = like(TrainingSettings, "learning_rate")
    early_stopping_patience: int = like(TrainingSettings, "early_stopping_patience")
    window: int | None = setting(None, "Context length in tokens; None: the model's maximum.", minimum=2)
    special_tokens: tuple[str, ...] = setting(
        (),
        "Tokens to add to the model, such as <speaker1>: each is read and generated as one token, and has a row of the "
        "embedding, which begins as the mean of the tokens that spelled it.",
    )
    sample_every: int | None = setting(None, "Steps between generated samples; None: 100; 0: no samples.", minimum=0)
    sample_length: int = setting(100, "Length of these samples in tokens.", minimum=1)

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
