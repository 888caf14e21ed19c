"""The model card itself: its front matter, which Hugging Face's hub reads, and its text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gpt2simple.evaluation.card.facts import CardFacts
from gpt2simple.evaluation.card.figures import CardFigure, FigureGroup
from gpt2simple.evaluation.card.front_matter import front_matter
from gpt2simple.settings.tasks import CLASSIFICATION, PAIRS
from gpt2simple.storage.contents import as_name, counted

LIBRARY = "transformers"
_TAGS = ["gpt2", "gpt2simple"]
_ON_THE_HUB = ("perplexity", "accuracy", "f1", "exact_match", "bleu", "chrf", "rouge")  # of its metrics, those we have
_MOST_LABELS = 20

# Settings on the card, by their names; what is not among them may hold names of files or the user's own words.
_SETTINGS = (
    "learning_rate", "schedule", "warmup_steps", "optimizer", "weight_decay", "clip_norm", "batch_size",
    "accumulate_gradients", "window", "max_length", "dropout", "steps", "epochs", "early_stopping_patience",
    "only_train_transformer_layers", "train_last_n_layers", "lora_rank", "lora_alpha", "lora_dropout", "lora_targets",
    "base_precision", "loss_on", "class_weights", "early_stopping_metric", "validation_split", "test_split",
)  # fmt: skip
_OF_ADAPTERS = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets", "base_precision")

# What run.json has of the data, with the words for it.
_DATA = {
    "files": "files", "documents": "documents", "duplicates": "copies among them", "near_duplicates": "near copies",
    "characters": "characters", "bytes": "bytes", "tokens": "tokens", "train_tokens": "tokens to train on",
    "held_out_tokens": "tokens held out", "texts": "labelled texts", "training_texts": "texts to train on",
    "validation_texts": "texts to choose the step by", "test_texts": "texts to test on", "pairs": "pairs",
    "training_pairs": "pairs to train on", "validation_pairs": "pairs to choose the step by",
    "test_pairs": "pairs to test on", "truncated": "texts of which only the beginning was read",
}  # fmt: skip


def model_card(facts: CardFacts, *, license: str | None = None, languages: Sequence[str] = ()) -> str:  # noqa: A002
    """The card of a run's model, Markdown with front matter.

    Args:
        license: as the hub abbreviates it; None: that of the base model, if known. languages: ISO codes.
    """
    kept = license or facts.base.license
    matter = front_matter({
        "license": kept,
        "language": list(languages),
        "library_name": LIBRARY,
        "pipeline_tag": _pipeline(facts),
        "base_model": facts.base.repo,
        "base_model_relation": None if facts.base.repo is None else "finetune",
        "tags": _TAGS,
        "metrics": sorted({hub for group in facts.groups for hub in map(_on_the_hub, group.figures) if hub}),
        "model-index": [{"name": facts.name, "results": [_result(facts, group) for group in facts.groups]}]
        if facts.groups
        else None,
    })  # fmt: skip
    parts = [
        f"# {_plain(facts.name)}",
        _what_it_is(facts),
        _section("How to use it", [_usage(facts)]),
        _section("How it was made", _making(facts)),
        _section("Data", _data(facts)),
        _section("Results", [text for group in facts.groups for text in _group(group)] or [_NO_RESULTS]),
        _section("Memorisation", _memorisation(facts)),
        _section("Limits", _limits(facts)),
        _section("Licence", _licence(facts, license)),
    ]
    return f"{matter}\n" + "\n\n".join(filter(None, parts)) + "\n"


_NO_RESULTS = "No evaluation of these weights is on record."


def _pipeline(facts: CardFacts) -> str:
    return "text-classification" if facts.config.labels else "text-generation"


def _on_the_hub(figure: CardFigure) -> str | None:
    name = "rouge" if figure.metric.startswith("rouge") else figure.metric
    return name if name in _ON_THE_HUB else None


def _result(facts: CardFacts, group: FigureGroup) -> dict[str, Any]:
    """The figures of a part as the hub's model index has them."""
    task = _pipeline(facts)
    return {
        "task": {"type": task, "name": task.replace("-", " ").capitalize()},
        "dataset": {"type": "own-data", "name": group.part[:1].upper() + group.part[1:]},
        "metrics": [
            {
                "type": figure.metric,
                "value": figure.value,
                "name": f"{figure.name} ({figure.spread})" if figure.spread else figure.name,
            }
            for figure in group.figures
        ],
    }


def _section(title: str, paragraphs: Iterable[str]) -> str:
    texts = [text for text in paragraphs if text]
    return "\n\n".join([f"## {title}", *texts]) if texts else ""


def _what_it_is(facts: CardFacts) -> str:
    config, base = facts.config, facts.base
    kind = {
        CLASSIFICATION: f"A GPT-2 that tells {counted(len(config.labels), 'class', 'classes')} of texts apart",
        PAIRS: "A GPT-2 that was fine-tuned on pairs of prompt and completion",
    }.get(facts.task, "A GPT-2 that was fine-tuned on a text")
    base_link = f"[{base.repo}](https://huggingface.co/{base.repo})" if base.repo else _plain(base.name)
    at = f" at revision `{base.revision}`" if base.revision and base.repo else ""
    size = (
        f"It has {config.parameters:,} parameters, a context of {config.n_ctx:,} tokens and a vocabulary of "
        f"{config.n_vocab:,}."
    )
    labels = ""
    if config.labels:
        shown = ", ".join(f"`{_plain(as_name(label))}`" for label in config.labels[:_MOST_LABELS])
        more = len(config.labels) - _MOST_LABELS
        labels = f" The classes: {shown}{f' and {more:,} more' if more > 0 else ''}."
    return f"{kind}. It began as {base_link}{at}. {size}{labels}"


def _usage(facts: CardFacts) -> str:
    call = 'classify("A text.")' if facts.config.labels else 'write("Once upon a time", max_new_tokens=100)'
    name = "classify" if facts.config.labels else "write"
    program = f'from transformers import pipeline\n\n{name} = pipeline("{_pipeline(facts)}", model=FOLDER_OR_NAME)\n'
    code = f"```python\n{program}print({call})\n```"
    if facts.task == PAIRS:
        code += "\n\nPrompts are written by the chat template, which is in the folder (`apply_chat_template`)."
    return code


def _making(facts: CardFacts) -> Iterator[str]:
    if not facts.settings:
        return
    chosen = ""
    if facts.is_best is not None:
        chosen = ", the one with the best held-out result" if facts.is_best else ", not the best one on held-out data"
    if facts.step is not None:
        yield f"These are the weights after {counted(facts.step, 'optimizer step')}{chosen}.{_trained(facts)}"
    if facts.was_adapter:
        yield (
            f"Training changed an adapter (LoRA of rank {facts.was_adapter}) beside the model's own weights; here the "
            "two are merged."
        )
    settings = {
        name: facts.settings[name] for name in _SETTINGS
        if facts.settings.get(name) is not None and (facts.was_adapter or name not in _OF_ADAPTERS)
    }  # fmt: skip
    yield _table(("setting", "value"), [(name, _shown(value)) for name, value in settings.items()])
    made_with = {**facts.environment, **({} if facts.seed is None else {"seed": str(facts.seed)})}
    yield _table(("made with", ""), [(name.replace("_", " "), value) for name, value in made_with.items()])


def _trained(facts: CardFacts) -> str:
    if (record := facts.trained) is None:
        return ""
    passes = f", {record.epoch:.2f} passes over the training data" if facts.steps_per_epoch else ""
    return f" Until then training read {record.tokens:,} target tokens{passes}, in {record.seconds:,.0f} seconds."


def _data(facts: CardFacts) -> Iterator[str]:
    if not facts.data:
        return
    rows = [(words, f"{facts.data[name]:,}") for name, words in _DATA.items() if type(facts.data.get(name)) is int]
    share = facts.data.get("held_out_share")
    rows += [("share of the tokens held out", f"{share:.1%}")] if isinstance(share, float) else []
    yield _table(("data", "number"), rows)
    yield "The data itself is not part of this repository."


def _group(group: FigureGroup) -> Iterator[str]:
    yield f"On {group.part}. {group.how}"
    yield _table(
        ("figure", "value", ""), [(figure.name, f"{figure.value:g}", figure.spread) for figure in group.figures]
    )


def _memorisation(facts: CardFacts) -> Iterator[str]:
    found = facts.memorisation
    if found is None:
        return
    rows = [
        ("share of the samples' sequences of eight words that the training text has", _share(found.get("share"))),
        ("the same of held-out text, which the model never saw", _share(found.get("natural_share"))),
        ("longest passage copied, in words", _whole(found.get("longest_words"))),
    ]
    yield "How much of the samples that the model wrote during training is copied from the training text:"
    yield _table(("measure", "value"), [(name, value) for name, value in rows if value])
    verdicts: dict[Any, str] = {
        True: "The samples repeat the training text: the model has memorised it.",
        False: "The samples do not repeat the training text clearly more than unseen text does.",
    }
    yield verdicts.get(found.get("is_memorised"), "There is too little text to say whether it was memorised.")


def _share(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, (int, float)) and not isinstance(value, bool) else ""


def _whole(value: Any) -> str:
    return f"{value:,}" if type(value) is int else ""


def _limits(facts: CardFacts) -> Iterator[str]:
    config = facts.config
    if config.labels:
        yield (
            f"It reads at most {config.n_ctx:,} tokens of a text, and chooses one of its classes for every text, even "
            "where none of them fits."
        )
    else:
        yield (
            f"It continues text in the manner of what it was trained on, {config.n_ctx:,} tokens at a time; what it "
            "states may be false. It may repeat passages of its training data, and keeps the biases of the model that "
            "it began as."
        )
    yield facts.verdict
    if not any(group.figures for group in facts.groups):
        yield "Nothing on record says how well it does on data that it has not seen."


def _licence(facts: CardFacts, license: str | None) -> Iterator[str]:  # noqa: A002
    if license is not None:
        yield f"As stated by whoever exported the model: {license}."
    elif facts.base.license is not None:
        yield (
            f"{facts.base.license}, the licence of {_plain(facts.base.name)}. What rights there are in the training "
            "data is not on record."
        )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    return _plain(text).replace("|", "\\|")


def _plain(text: str) -> str:
    """A name of the user's in one line, which Markdown does not take for a tag."""
    return " ".join(text.split()).replace("<", "&lt;").replace("`", "'")


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping) or not isinstance(value, (list, tuple)):
        return str(value)
    return ", ".join(map(str, value))
