"""How pairs of a prompt and a completion are read and divided into parts."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.classify import LabelledTextSettings
from gpt2simple.settings.fields import like, only, setting
from gpt2simple.settings.finetune import FinetuneSettings, TrainingSettings
from gpt2simple.settings.generate import GenerateSettings
from gpt2simple.settings.text import ReadingSettings, TextSettings

PAIRS_OF_TEXT = "Pairs of prompt and completion"  # a group of settings
PAIR_FORMATS = PROMPT_COMPLETION, MESSAGES, ALPACA = ("prompt-completion", "messages", "alpaca")
DEFAULT_SEPARATOR = "\n###\n"
END_OF_TEXT = "<|endoftext|>"
LOSS_ON = COMPLETION, ALL = ("completion", "all")


@dataclass(frozen=True, kw_only=True)
class PairTextSettings(ReadingSettings):
    """How pairs are read."""

    prompt_column: str | int | None = setting(
        None,
        "Column (name, or index from 0) or JSON key that holds the prompt; None: by the usual names.",
        group=PAIRS_OF_TEXT,
    )
    completion_column: str | int | None = setting(
        None,
        "Column (name, or index from 0) or JSON key that holds the completion; None: by the usual names.",
        group=PAIRS_OF_TEXT,
    )
    pair_format: str | None = setting(
        None,
        "Which keys hold the pairs, where a file has those of several formats: prompt-completion (prompt, completion "
        "or references), messages (or conversations), or alpaca (instruction, input, output); None: those that it has.",
        choices=PAIR_FORMATS,
        group=PAIRS_OF_TEXT,
    )
    separator: str = setting(
        DEFAULT_SEPARATOR,
        "Text between prompt and completion; messages and Alpaca's instructions have marks of their own.",
        group=PAIRS_OF_TEXT,
    )
    end: str = setting(
        END_OF_TEXT, "Text that ends a completion; the default is GPT-2's end-of-text token.", group=PAIRS_OF_TEXT
    )
    validation_split: float = like(
        TextSettings,
        "validation_split",
        help="Fraction of the pairs that training is evaluated on; 0: none.",
        group=PAIRS_OF_TEXT,
    )
    validation_file: str | None = setting(
        None, "Pairs of your own to evaluate training on.", path=True, group=PAIRS_OF_TEXT
    )
    test_split: float = like(
        LabelledTextSettings,
        "test_split",
        help="Fraction of the pairs that the finished model is tested on, at most 0.5; 0: none.",
        group=PAIRS_OF_TEXT,
    )
    test_file: str | None = setting(
        None, "Pairs of your own to test on, in place of a fraction.", path=True, group=PAIRS_OF_TEXT
    )

    def __post_init__(self) -> None:
        for name in ("separator", "end"):
            if isinstance(value := getattr(self, name), str):  # as a command line passes line ends and tabs on
                object.__setattr__(self, name, value.replace("\\n", "\n").replace("\\t", "\t"))  # frozen
        super().__post_init__()

    def _contradictions(self) -> list[str]:
        found = super()._contradictions()
        columns = [name for name in ("prompt_column", "completion_column") if getattr(self, name) is not None]
        for name in ("column", "template"):
            if getattr(self, name) is not None:
                found.append(
                    f"{name} was given, which names a text, and pairs have a prompt and a completion; give "
                    "prompt_column and completion_column."
                )
        if self.format in ("text", "lines"):
            found.append(f"format is {self.format!r}, which has no pairs; expected csv, tsv, jsonl or json.")
        if len(columns) == 1:
            found.append(f"{columns[0]} was given alone; give prompt_column and completion_column.")
        elif columns and self.prompt_column == self.completion_column:
            found.append(f"prompt_column and completion_column are both {self.prompt_column!r}; name two columns.")
        if columns and self.pair_format is not None:
            found.append(f"{columns[0]} and pair_format were both given; give one of the two.")
        if self.pair_format in (MESSAGES, ALPACA) and self.separator != DEFAULT_SEPARATOR:
            found.append(f"separator was given, and pair_format={self.pair_format!r} has marks of its own; give one.")
        if not self.end:
            found.append("end is empty, so that no completion would end; expected text, such as '<|endoftext|>'.")
        if self.validation_split + self.test_split >= 1.0 and self.validation_file is None and self.test_file is None:
            found.append(
                f"validation_split is {self.validation_split:g} and test_split is {self.test_split:g}, so nothing "
                "would be left to train on; set a smaller one."
            )
        return found


@dataclass(frozen=True, kw_only=True)
class PairSettings(TrainingSettings):
    """How a model is trained on pairs."""

    early_stopping_patience: int = like(TrainingSettings, "early_stopping_patience")
    batch_size: int = like(TrainingSettings, "batch_size", default=8, help="Pairs per micro-batch.")
    loss_on: str = setting(
        COMPLETION,
        "What is learned of a pair: the completion alone, or the prompt too.",
        choices=LOSS_ON,
        group=PAIRS_OF_TEXT,
    )
    max_length: int | None = setting(
        None,
        "Tokens of a pair that are read; of a longer one the beginning of the prompt is cut off. None: as many as the "
        "model reads.",
        minimum=2,
        group=PAIRS_OF_TEXT,
    )
    sample_every: int | None = like(
        FinetuneSettings, "sample_every", help="Steps between outputs for a few prompts; None: 100; 0: none."
    )
    sample_length: int = like(FinetuneSettings, "sample_length", help="Length of these outputs in tokens, at most.")


# What a function takes besides the settings of plain texts, where its dataset may hold pairs.
_COLUMNS = ("prompt_column", "completion_column", "pair_format", "separator", "end")
PAIR_COLUMNS = only(PairTextSettings, *_COLUMNS)
PAIR_TEXTS = only(PairTextSettings, *_COLUMNS, "test_split", "test_file")
PAIR_TRAINING = only(PairSettings, "loss_on", "max_length")

# How a prompt is answered, by the most probable token each time.
ANSWERS = only(
    GenerateSettings, "length", "min_length", "batch_size", "repetition_penalty", "no_repeat_ngram_size", "bad_words",
    "stop",
)  # fmt: skip
