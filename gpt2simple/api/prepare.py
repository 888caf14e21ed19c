"""What can be made before a run: an encoded text, a tokenizer, a model with random weights.

Loads TensorFlow only to draw a model's weights. Knows nothing of runs and sessions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2simple.api.console import reading_bar
from gpt2simple.data import documents, export
from gpt2simple.data.sources import checked_source
from gpt2simple.data.texts import read_texts
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import model_folder
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings import SessionSettings, TextSettings, accepts, build, pick
from gpt2simple.settings.session import DEFAULT_MODEL, MODELS
from gpt2simple.settings.text import ENCODED, READING
from gpt2simple.storage.contents import counted
from gpt2simple.storage.outputs import check_output, check_unused, output_folder

# What a laptop trains in an hour.
_DEFAULT_SIZE: dict[str, Any] = {"n_layer": 6, "n_head": 6, "n_embd": 192, "n_ctx": 512}


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """A text as a file of token ids.

    Attributes:
        path: the file. tokens: number of ids, with the end-of-text tokens between documents.
    """

    path: Path
    documents: int
    characters: int
    tokens: int

    def summary(self) -> str:
        return (
            f"{self.path}: {self.characters:,} characters in {counted(self.documents, 'document')}, "
            f"{self.tokens:,} tokens."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, kw_only=True)
class MadeModel:
    """A new folder with a tokenizer, and a model if one was requested.

    Attributes:
        vocab_size: size of the vocabulary; smaller than requested if the text has no more pairs to merge.
        parameters: of the new model; None: the folder holds only a tokenizer.
    """

    folder: Path
    vocab_size: int
    parameters: int | None

    def summary(self) -> str:
        if self.parameters is None:
            return f"{self.folder}: a tokenizer of {self.vocab_size:,} tokens."
        return (
            f"{self.folder}: a tokenizer of {self.vocab_size:,} tokens and a model of {self.parameters:,} parameters "
            f"with random weights. Train it with --model-name {self.folder}."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


@accepts(MODELS, ENCODED, after="model_name")
def encode_dataset(
    dataset: Any,
    out_path: str | Path = "text_encoded.npz",
    *,
    model_name: str | Path = DEFAULT_MODEL,
    combine: int = 50_000,
    **settings: Any,
) -> EncodedText:
    """Encode a dataset to an .npz file, which ``finetune`` and gpt-2-simple read; returns its counts.

    ``finetune`` caches encoded texts by itself; the file is for moving them to another machine.

    Args:
        dataset: whatever ``finetune`` takes.
        out_path: the file to write; an earlier encoded text is replaced, any other file is not.
        model_name: the model whose tokenizer is used: a known one, downloaded if it is missing, or a folder.
        combine: documents are combined into arrays of about this many bytes of text.
        settings: see below.

    Raises:
        DataError: the dataset cannot be read or holds no text. SettingsError: ``out_path`` is some other file.
        StorageError: the file cannot be written.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.encode_dataset(["One text.", "Another."], "texts.npz", model_name="tiny").documents
        2
    """
    text = build(TextSettings, settings)
    check_output(Path(out_path), export.ENCODED_TEXT, checked_source(dataset, text).paths)
    where = SessionSettings(**pick(settings, MODELS))
    tokenizer = Tokenizer.load(model_folder(os.fspath(model_name), Path(where.model_dir)))
    with reading_bar("Encoding") as progress:
        corpus = export.encode_dataset(dataset, tokenizer, Path(out_path), text, combine=combine, progress=progress)
    return EncodedText(
        path=Path(out_path), documents=corpus.documents, characters=corpus.characters, tokens=corpus.tokens
    )


@accepts()
def encode_csv(
    csv_path: str | Path,
    out_path: str | Path = "csv_encoded.txt",
    *,
    header: bool = True,
    column: str | int = 0,
    encoding: str = "utf-8",
    delimiter: str | None = None,
    start_token: str = export.START_MARK,
    end_token: str = documents.END_MARK,
) -> Path:
    """Write the rows of a table as a text file, one row per line between two marks, as gpt-2-simple does.

    ``finetune`` reads tables by itself, with the real end-of-text token between rows; this file is for people.

    Args:
        csv_path: a .csv or .tsv file. out_path: a new file to write, or one that this program wrote since it started.
        header: whether the first line has column names. column: the one with the text, by name or index from 0.
        encoding: character encoding of the table; the new file is UTF-8.
        delimiter: the character between its columns; None: detected.
        start_token, end_token: the marks before and after each row.

    Raises:
        DataError: the file is missing, not a table, in another encoding, or lacks the column. SettingsError: there is
            no such encoding or delimiter, or ``out_path`` is some other file. StorageError: the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("tales.csv").write_text("tale\\nOnce.\\nTwice.\\n")
        >>> import gpt2simple
        >>> gpt2simple.encode_csv("tales.csv").read_text().splitlines()
        ['<|startoftext|>Once.<|endoftext|>', '<|startoftext|>Twice.<|endoftext|>']
    """
    settings = TextSettings(header=header, column=column, encoding=encoding, delimiter=delimiter)
    export.encode_csv(Path(csv_path), Path(out_path), settings, start_token=start_token, end_token=end_token)
    return Path(out_path)


@accepts(READING)
def make_tokenizer(
    dataset: Any,
    folder: str | Path,
    *,
    vocab_size: int = 4096,
    n_layer: int | None = None,
    n_head: int | None = None,
    n_embd: int | None = None,
    n_ctx: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> MadeModel:
    """Train a byte-level BPE tokenizer on a dataset, and make a GPT-2 with random weights if its size is given.

    ``finetune(dataset, model_name=folder)`` then trains that model from scratch.

    Args:
        dataset: whatever ``finetune`` takes, except an encoded .npz.
        folder: the folder to write; new or empty.
        vocab_size: maximum size of the vocabulary, at least 257.
        n_layer, n_head, n_embd, n_ctx: layers (6), heads (6), width (192) and context length in tokens (512) of the new
            model, which is made if at least one of them is given.
        seed: random seed of its weights.
        settings: see below.

    Raises:
        SettingsError: the folder is not empty, or ``vocab_size`` is too small. DataError: there is no text.
        CheckpointError: the four numbers do not describe a GPT-2.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.make_tokenizer(["yksi kaksi kolme"] * 9, "models/suomi", vocab_size=260, n_layer=1).parameters
        593472
    """
    text = TextSettings(**settings)
    wanted = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, "n_ctx": n_ctx}
    numbers: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if numbers:  # raise before the text is read
        ModelConfig(n_vocab=vocab_size, **(_DEFAULT_SIZE | numbers))
    target = Path(folder)
    check_unused(target)
    tokenizer = Tokenizer.train(_texts(dataset, text), vocab_size)
    with output_folder(target) as written:
        if not numbers:
            tokenizer.save(written)
            return MadeModel(folder=target, vocab_size=tokenizer.vocab_size, parameters=None)
        config = ModelConfig(n_vocab=tokenizer.vocab_size, **(_DEFAULT_SIZE | numbers))
        _write_new_model(written, config, tokenizer, seed)
    return MadeModel(folder=target, vocab_size=tokenizer.vocab_size, parameters=config.parameters)


def _texts(dataset: Any, settings: TextSettings) -> Iterator[str]:
    with reading_bar("Reading") as progress:
        yield from read_texts(dataset, settings, progress=progress)


def _write_new_model(folder: Path, config: ModelConfig, tokenizer: Tokenizer, seed: int) -> None:
    from gpt2simple.backend.tensorflow import own_context
    from gpt2simple.gpt2.formats.huggingface import write_model_folder
    from gpt2simple.gpt2.variables import random_weights

    with own_context():
        write_model_folder(folder, config, random_weights(config, seed=seed), tokenizer)
