"""Downloading and encoding with gpt-2-simple's arguments, and how it read tables.

It read the first column of a table, below a header, and put its start mark before each row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpt2simple.api import prepare
from gpt2simple.api.console import show_messages
from gpt2simple.data.export import START_MARK
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.hub import download
from gpt2simple.gpt2.hub.download import holds_model
from gpt2simple.gpt2.hub.fetch import Fetcher
from gpt2simple.gpt2.hub.registry import Download, PublishedFile
from gpt2simple.settings import accepts
from gpt2simple.storage.disk import make_folder


def text_settings(dataset: Any) -> dict[str, Any]:
    """The settings with which a dataset is read as gpt-2-simple read it; none if it contains no CSV file."""
    if not isinstance(dataset, (str, Path)):
        return {}
    files = Path(dataset).rglob("*") if Path(dataset).is_dir() else [Path(dataset)]
    has_table = any(path.suffix.lower() == ".csv" for path in files)
    return {"template": START_MARK + "{0}", "header": True} if has_table else {}


@accepts()
def download_gpt2(model_dir: str | Path = "models", model_name: str = "124M") -> None:
    """Download a model into ``<model_dir>/<model_name>`` if it is not there yet. Arguments in the old order.

    Raises:
        SettingsError: no known model has that name. DownloadError, StorageError: it cannot be downloaded or written.
    """
    show_messages()
    download.download_gpt2(model_name, model_dir)


@accepts()
def is_gpt2_downloaded(model_dir: str | Path = "models", model_name: str = "124M") -> bool:
    """Whether ``<model_dir>/<model_name>`` holds a model's files. Arguments in the old order."""
    try:
        return download.is_gpt2_downloaded(model_name, model_dir)
    except SettingsError:  # not a known size: a folder of the user's
        return holds_model(Path(model_dir) / model_name)


@accepts()
def download_file_with_progress(url_base: str, sub_dir: str | Path, model_name: str, file_name: str) -> None:
    """Download ``<url_base>/models/<model_name>/<file_name>`` into ``sub_dir``, resuming a partial download.

    Raises:
        DownloadError: it cannot be downloaded. StorageError: it cannot be written.
    """
    show_messages()
    url = f"{url_base}/models/{model_name}/{file_name}"
    file = Download(
        file=PublishedFile(name=file_name),
        url=url,
        identity=url,
        mirror_variable="GPT2SIMPLE_OPENAI_URL",
        expected_bytes=0,
    )
    make_folder(Path(sub_dir))
    Fetcher(Path(sub_dir), model_name=model_name, progress=True).fetch(file, all_names=[file_name])


@accepts()
def encode_csv(
    csv_path: str | Path, out_path: str | Path = "csv_encoded.txt", header: bool = True,
    start_token: str = "<|startoftext|>", end_token: str = "<|endoftext|>",
) -> None:  # fmt: skip
    """Write the first column of a table as text, each row between two marks on a line of its own.

    Raises:
        DataError: the file is missing or is no table. StorageError: ``out_path`` cannot be written.
    """
    show_messages()
    prepare.encode_csv(csv_path, out_path, header=header, start_token=start_token, end_token=end_token)


@accepts()
def encode_dataset(
    file_path: str | Path, model_dir: str | Path = "models", out_path: str | Path = "text_encoded.npz",
    model_name: str = "124M", combine: int = 50000,
) -> None:  # fmt: skip
    """Write a text as token ids to an .npz file, which ``finetune`` reads.

    Args:
        file_path: a file, folder or pattern. model_dir, model_name: whose tokenizer. out_path: the file to write.
        combine: documents are joined in one array until it has this many bytes of text.

    Raises:
        DataError: there is no text. StorageError: the file cannot be written.
    """
    print("Reading files", flush=True)
    show_messages()
    prepare.encode_dataset(
        file_path, out_path, model_name=model_name, model_dir=model_dir, combine=combine, **text_settings(file_path)
    )
    print("Writing", out_path, flush=True)
