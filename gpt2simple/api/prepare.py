"""What can be prepared before a run: encoded texts, a new tokenizer, an untrained model.

TensorFlow is loaded only to initialize a model's weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gpt2simple.api.console import reading_bar
from gpt2simple.data import documents, export
from gpt2simple.data.texts import read_texts
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.hub.locate import model_folder
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.settings import SessionSettings, TextSettings, accepts, build, only, pick
from gpt2simple.settings.session import DEFAULT_MODEL
from gpt2simple.storage.disk import make_folder, require_unused

MODELS = only(SessionSettings, "model_dir")
_DEFAULT_SHAPE = {"n_layer": 6, "n_head": 6, "n_embd": 192, "n_ctx": 512}  # a laptop trains it in an hour


@dataclass(frozen=True, kw_only=True)
class EncodedText:
    """A file of token ids.

    Attributes:
        path: the file. tokens: all token ids, including the separators between documents.
    """

    path: Path
    documents: int
    characters: int
    tokens: int

    def summary(self) -> str:
        return (
            f"{self.path}: {self.characters:,} characters in {self.documents:,} document"
            f"{'' if self.documents == 1 else 's'}, {self.tokens:,} tokens."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True, kw_only=True)
class MadeModel:
    """A new folder with a tokenizer, and with a model if one was requested.

    Attributes:
        vocab_size: tokens in the vocabulary; fewer than requested if the text has no more pairs to merge.
        parameters: of the new model; None: the folder holds only a tokenizer.
    """

    folder: Path
    vocab_size: int
    parameters: int | None

    def summary(self) -> str:
        if self.parameters is None:
            return f"{self.folder}: a tokenizer of {self.vocab_size:,} tokens."
        return (
            f"{self.folder}: a tokenizer of {self.vocab_size:,} tokens and an untrained model of {self.parameters:,} "
            f"parameters. Train it with --model-name {self.folder}."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "folder": str(self.folder)}


@accepts(MODELS, TextSettings, after="model_name")
def encode_dataset(
    dataset: Any,
    out_path: str | Path = "text_encoded.npz",
    *,
    model_name: str = DEFAULT_MODEL,
    combine: int = 50_000,
    **settings: Any,
) -> EncodedText:
    """Encode a dataset to an .npz file that ``finetune`` and gpt-2-simple read; returns its counts.

    ``finetune`` caches encoded texts itself; the file is for using them elsewhere.

    Args:
        dataset: any dataset that ``finetune`` accepts.
        out_path: the file to write; an existing file is replaced.
        model_name: the model whose tokenizer is used: a known model, downloaded if necessary, or a folder.
        combine: documents are combined in one array until it holds this many bytes of text.
        settings: see below.

    Raises:
        DataError: the dataset cannot be read or contains no text. StorageError: the file cannot be written.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.encode_dataset(["One text.", "Another."], "texts.npz", model_name="tiny").documents
        2
    """
    text = build(TextSettings, settings)
    where = SessionSettings(model_name=model_name, **pick(settings, MODELS))
    tokenizer = Tokenizer.load(model_folder(model_name, Path(where.model_dir)))
    with reading_bar("Encoding") as progress:
        corpus = export.encode_dataset(dataset, tokenizer, Path(out_path), text, combine=combine, progress=progress)
    return EncodedText(
        path=Path(out_path), documents=corpus.documents, characters=corpus.characters, tokens=corpus.tokens
    )


def encode_csv(
    csv_path: str | Path,
    out_path: str | Path = "csv_encoded.txt",
    *,
    header: bool = True,
    column: str | int = 0,
    encoding: str = "utf-8",
    start_token: str = export.START_MARK,
    end_token: str = documents.END_MARK,
) -> Path:
    """A text file with the rows of a table, each between two markers and on a separate line, as gpt-2-simple writes it.

    ``finetune`` can read tables directly, with real end-of-text tokens between rows; this file lets you inspect them.

    Args:
        csv_path: a .csv or .tsv file. out_path: the file to write; an existing file is replaced.
        header: whether the first line names the columns. column: the text column, by name or by number from 0.
        encoding: character encoding of the table; the new file is UTF-8.
        start_token, end_token: text before and after each row.

    Raises:
        DataError: the file is missing, is not a table, has another encoding, or has no such column. SettingsError:
            there is no such encoding. StorageError: the file cannot be written.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("tales.csv").write_text("tale\\nOnce.\\nTwice.\\n")
        >>> import gpt2simple
        >>> gpt2simple.encode_csv("tales.csv").read_text().splitlines()
        ['<|startoftext|>Once.<|endoftext|>', '<|startoftext|>Twice.<|endoftext|>']
    """
    settings = TextSettings(header=header, column=column, encoding=encoding)
    export.encode_csv(Path(csv_path), Path(out_path), settings, start_token=start_token, end_token=end_token)
    return Path(out_path)


@accepts(TextSettings)
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
    """A new folder with a byte-level BPE tokenizer, and a GPT-2 with random weights if its shape is given.

    ``finetune(dataset, model_name=folder)`` then trains that model from scratch.

    Args:
        dataset: any dataset that ``finetune`` accepts, except an encoded .npz.
        folder: where to write; it must be new or empty.
        vocab_size: maximum size of the vocabulary in tokens, at least 257.
        n_layer, n_head, n_embd, n_ctx: layers (6), heads (6), width (192) and context in tokens (512) of the new model;
            it is created if any of them is given.
        seed: of the random weights.
        settings: see below.

    Raises:
        SettingsError: the folder is in use, or ``vocab_size`` is too small. DataError: there is no text.
        CheckpointError: the four numbers do not describe a GPT-2.

    Example:
        >>> import gpt2simple
        >>> gpt2simple.make_tokenizer(["yksi kaksi kolme"] * 9, "models/suomi", vocab_size=260, n_layer=1).parameters
        593472
    """
    text = TextSettings(**settings)
    wanted = {"n_layer": n_layer, "n_head": n_head, "n_embd": n_embd, "n_ctx": n_ctx}
    numbers = {name: value for name, value in wanted.items() if value is not None}
    if numbers:  # check them before the text is read
        ModelConfig(n_vocab=vocab_size, **(_DEFAULT_SHAPE | numbers))
    target = Path(folder)
    require_unused(target)
    tokenizer = Tokenizer.train(_texts(dataset, text), vocab_size)
    if not numbers:
        make_folder(target)
        tokenizer.save(target)
        return MadeModel(folder=target, vocab_size=tokenizer.vocab_size, parameters=None)
    config = ModelConfig(n_vocab=tokenizer.vocab_size, **(_DEFAULT_SHAPE | numbers))
    from gpt2simple.gpt2.formats.huggingface import write_model_folder
    from gpt2simple.gpt2.model import build_model, read_weight

    model = build_model(config, seed=seed)
    write_model_folder(target, config, lambda name: read_weight(model, name), tokenizer)
    return MadeModel(folder=target, vocab_size=tokenizer.vocab_size, parameters=config.parameters)


def _texts(dataset: Any, settings: TextSettings) -> Iterator[str]:
    with reading_bar("Reading") as progress:
        yield from read_texts(dataset, settings, progress=progress)
