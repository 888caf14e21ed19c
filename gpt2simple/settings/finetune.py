"""How a model is fine-tuned: length, step size, memory, checkpoints."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, setting


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings:
    """How the model is fine-tuned."""

    steps: int | None = setting(
        None, "Optimizer steps of the run in total; None (and no epochs): until held-out loss stops falling.", minimum=1
    )
    epochs: float | None = setting(None, "Passes over the text, instead of steps.", above=0.0)
    batch_size: int = setting(1, "Windows of text per micro-batch.", minimum=1)
    accumulate_gradients: int = setting(1, "Micro-batches per optimizer step.", minimum=1)
    window: int | None = setting(None, "Tokens of context per window; None: the model's longest.", minimum=2)
    learning_rate: float = setting(1e-4, "Highest learning rate.", above=0.0)
    schedule: str = setting(
        "constant", "Course of the learning rate after the warm-up.", choices=("constant", "linear", "cosine")
    )
    warmup_steps: int = setting(10, "Steps over which the learning rate rises from 0.", minimum=0)
    optimizer: str = setting("adamw", "Optimizer.", choices=("adamw", "adam", "sgd"))
    weight_decay: float = setting(0.01, "Decay of weight matrices per unit of learning rate (adamw only).", minimum=0.0)
    clip_norm: float = setting(1.0, "Longest gradient, as a Euclidean norm; 0: not clipped.", minimum=0.0)
    dropout: float = setting(0.0, "Share of activations dropped while training.", minimum=0.0, maximum=0.9)
    only_train_transformer_layers: bool = setting(False, "Leave the token and position embeddings as they are.")
    train_last_n_layers: int | None = setting(None, "Train only the last n layers and the final norm.", minimum=1)
    gradient_checkpointing: bool | None = setting(
        None, "Recompute activations to save memory, for about a third more time; None: where memory is short."
    )
    seed: int | None = setting(None, "Makes the run repeatable; None draws one and records it.", minimum=0)
    eval_every: int | str | None = setting(
        None, 'Steps between looks at the held-out text, or "epoch"; None chooses.', minimum=1
    )
    early_stopping_patience: int = setting(
        3, "Looks without a lower held-out loss before the run stops (only with neither steps nor epochs).", minimum=1
    )
    save_every: int | None = setting(
        None,
        "Steps between checkpoints; None: whenever held-out loss is at its lowest, and every ten minutes.",
        minimum=1,
    )
    max_checkpoints: int = setting(2, "Resumable checkpoints kept, the best and the latest among them.", minimum=1)
    sample_every: int | None = setting(
        None, "Steps between samples of what the model writes; None chooses; 0: none.", minimum=0
    )
    sample_length: int = setting(100, "Tokens per such sample.", minimum=1)
    print_every: int = setting(10, "Steps between lines where no progress bar can be shown.", minimum=1)
    restore_from: str = setting("latest", 'Where the run starts: "latest", "best", "fresh", or the path of a model.')
    overwrite: bool = setting(False, 'With restore_from="fresh": replace a run that exists.')

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
