"""Where each file of a known model lies on the network. Fetches nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from gpt2simple.errors import SettingsError
from gpt2simple.registry import KnownModel, PublishedFile

# Per source: the environment variable that names a mirror, and the publisher.
_BASES = {
    "huggingface": ("HF_ENDPOINT", "https://huggingface.co"),
    "openai": ("GPT2SIMPLE_OPENAI_URL", "https://openaipublic.blob.core.windows.net/gpt-2/models"),
}

# Space set aside for a small file whose length was not published.
_SMALL_FILE_BYTES = 1_500_000


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to fetch."""

    file: PublishedFile
    url: str
    identity: str  # what the content is, wherever it comes from: a partial file may go on from another mirror
    mirror_variable: str  # the environment variable that names another mirror
    expected_bytes: int  # as published, or a guess to check the disk with


def downloads_of(
    known: KnownModel,
    *,
    source: str = "huggingface",
    base_url: str | None = None,
) -> list[Download]:
    """The files of a model in the order of fetching, weights last; none for a built-in model.

    Raises:
        SettingsError: the source is unknown, or the base address is no web address.
    """
    if source not in _BASES:
        raise SettingsError(f"source is {source!r}; expected {' or '.join(repr(name) for name in _BASES)}.")
    variable, publisher = _BASES[source]
    base = (base_url or os.environ.get(variable) or publisher).rstrip("/")
    _require_web_address(base, "base_url" if base_url else variable)
    if known.built_in:
        return []
    if source == "huggingface":
        files, place = known.hub_files, f"{known.hub_repo}/resolve/{known.hub_revision}"
    else:
        files, place = known.openai_files, known.openai_folder
    return [
        Download(
            file=file,
            url=f"{base}/{place}/{file.name}",
            identity=f"{source}/{place}/{file.name}",
            mirror_variable=variable,
            expected_bytes=_expected_bytes(file, known, is_last=file is files[-1]),
        )
        for file in files
    ]


def _expected_bytes(file: PublishedFile, known: KnownModel, *, is_last: bool) -> int:
    if file.n_bytes is not None:
        return file.n_bytes
    return known.weight_bytes if is_last else _SMALL_FILE_BYTES


def _require_web_address(base: str, name: str) -> None:
    try:
        parts = urlsplit(base)
        if parts.scheme in ("http", "https") and parts.hostname:
            return
    except ValueError:
        pass
    raise SettingsError(f"{name} is {base!r}; expected a web address such as 'https://hf-mirror.example'.")
