"""The known models: names, configs, and their published files with addresses, byte counts and digests. Data only.

Knows nothing of how files are fetched. Where no byte count or digest was ever published the entry is None rather than
a number that somebody measured on an unverified copy; the download then relies on what the server itself states.
"""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.config import ModelConfig


@dataclass(frozen=True)
class PublishedFile:
    """One file of a release; None where the publisher gives no number."""

    name: str
    n_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """A model that this package knows by name.

    ``hub_files`` and ``openai_files`` are in the order of downloading: the weights come last, so that a folder that has
    them has everything.
    """

    name: str
    aliases: tuple[str, ...] = ()
    license: str | None = None  # as the hub abbreviates it
    config: ModelConfig | None = None  # None: read from the built-in model's own config.json
    hub_repo: str = ""  # on Hugging Face
    hub_revision: str = ""  # a commit, so that what it names cannot change
    hub_files: tuple[PublishedFile, ...] = ()
    openai_folder: str = ""  # below OpenAI's base address
    openai_files: tuple[PublishedFile, ...] = ()

    @property
    def built_in(self) -> bool:
        """Whether the model ships inside the package, so that nothing is downloaded."""
        return not self.hub_files and not self.openai_files

    @property
    def weight_bytes(self) -> int:
        """What the float32 weights take on disk, without padding; 0 for a built-in model."""
        return 4 * self.config.parameters if self.config and not self.built_in else 0


# The files of each source in the order of downloading.
_HUB_NAMES = (
    "config.json", "generation_config.json", "vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json",
    "model.safetensors",
)  # fmt: skip
_OPENAI_WEIGHTS = "model.ckpt.data-00000-of-00001"
_OPENAI_NAMES = (
    "checkpoint", "encoder.json", "vocab.bpe", "hparams.json", "model.ckpt.meta", "model.ckpt.index", _OPENAI_WEIGHTS,
)  # fmt: skip

_VOCABULARY = (1042301, "196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783")
_MERGES = (456318, "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5")

# Bytes and sha256 of each published file, those of both sources together; None where the publisher gives no number.
_Published = dict[str, tuple[int | None, str | None]]

_EVERY_SIZE: _Published = {
    "vocab.json": _VOCABULARY,
    "encoder.json": _VOCABULARY,
    "merges.txt": _MERGES,
    "vocab.bpe": _MERGES,
    "checkpoint": (77, "dd1b025d2e155283f5e300ce95bf6d5b6bc0f7fe010db73daa6975eb896ab9cb"),
}

_TOKENIZER: _Published = {
    "tokenizer.json": (1355256, "8414cab924d8b9b33013f0d221c5862f365ee9be39c5c2bfae8a5a9e970478a6"),
    "tokenizer_config.json": (26, "5e04eb606e3a1583530a42e36c2a6b6615c86f34fe77e44d9ddeb43ff940931f"),
}

_124M: _Published = {
    **_TOKENIZER,
    "config.json": (665, "0daed7749b4f02b8f76240d5444551d7b08712dab4d0adb8239c56ba823bb7b4"),
    "generation_config.json": (124, "ed0b32ac72c0f5f44a719abb2d7786ea5146c871f83717b7f2018065954de02b"),
    "model.safetensors": (548105171, "248dfc3911869ec493c76e65bf2fcf7f615828b0254c12b473182f0f81d3a707"),
    "hparams.json": (90, "d9d56e4121c427164e0c55c6f03c08e1daf9002b9b672825112d19097b680318"),
    "model.ckpt.index": (5215, "71916f763f9746f9b2a06b12d91996cf1084ae008d0424543d39391c5f2dc687"),
    "model.ckpt.meta": (471155, "4668c448fa11531fd6700460487f73e82d3272960cea942252f8744bf225c77b"),
    _OPENAI_WEIGHTS: (497759232, "2060c885360cc0cf41d7a6dbc4d24b5127aae20260c8b5ae521b5a6578407118"),
}

_355M: _Published = {
    **_TOKENIZER,
    "config.json": (718, "ef1a44d889ad1a0acc7731c78134f1b87d2d222f110e97dd10fd4117331caf22"),
    "generation_config.json": (124, "b90eadacf585a743a30ea51e8b5c88b8d282a2a34dc0c7e556d0987cdbd68805"),
    "model.safetensors": (1519984962, "fc5a354a19255ad494f3d71549390baca1ccf61d1d822b9408971705c687c9cd"),
    "hparams.json": (91, "310dfdb1f0c786b79d93459eaa470f3978d873bdc3e1f9fed1cad24d9dd0b1f6"),
    "model.ckpt.index": (10399, None),
    "model.ckpt.meta": (926519, None),
    _OPENAI_WEIGHTS: (1419292672, None),
}

# OpenAI's data file is the variables in float32, one after the other: its length follows from the config.
_774M: _Published = {_OPENAI_WEIGHTS: (4 * 774030080, None)}

_1558M: _Published = {
    "config.json": (None, "be48115d52314bc27327e160bf10197760db02ea689d10adb24db4102edf7a8a"),
    "model.safetensors": (None, "0f8b28eb05a8075f48b61b6f35332978c74fc7763fa9fb4051a1c30511736a6a"),
    _OPENAI_WEIGHTS: (4 * 1557611200, None),
}


def _gpt2(
    name: str, aliases: tuple[str, ...], revision: str, dims: tuple[int, int, int], published: _Published
) -> KnownModel:
    """A size of GPT-2, from its names (as on Hugging Face the second), and its width, heads and layers."""
    n_embd, n_head, n_layer = dims
    repo = f"openai-community/{aliases[1]}"
    known = _EVERY_SIZE | published
    return KnownModel(
        name=name,
        aliases=(*aliases, repo),
        license="mit",
        config=ModelConfig(n_vocab=50257, n_ctx=1024, n_embd=n_embd, n_head=n_head, n_layer=n_layer),
        hub_repo=repo,
        hub_revision=revision,
        hub_files=tuple(PublishedFile(file, *known.get(file, ())) for file in _HUB_NAMES),
        openai_folder=name,
        openai_files=tuple(PublishedFile(file, *known.get(file, ())) for file in _OPENAI_NAMES),
    )


_MODELS = (  # published ones by size, then the built-in one
    _gpt2("124M", ("117M", "gpt2", "gpt2-small"), "607a30d783dfa663caf39e06633721c8d4cfcd7e", (768, 12, 12), _124M),
    _gpt2("355M", ("345M", "gpt2-medium"), "6dcaa7a952f72f9298047fd5137cd6e4f05f41da", (1024, 16, 24), _355M),
    _gpt2("774M", ("762M", "gpt2-large"), "32b71b12589c2f8d625668d2335a01cac3249519", (1280, 20, 36), _774M),
    _gpt2("1558M", ("1542M", "gpt2-xl"), "15ea56dee5df4983c59b2538573817e1667135e2", (1600, 25, 48), _1558M),
    KnownModel(name="tiny", license="mit"),
)

KNOWN_MODELS: dict[str, KnownModel] = {model.name: model for model in _MODELS}


def find(name: str) -> KnownModel | None:
    """The model of that name or alias, None where no known model has it; case does not matter."""
    return _by_alias().get(str(name).lower())


def resolve(name: str) -> KnownModel:
    """The same, for a name that must be known.

    Raises:
        SettingsError: no known model has that name; the nearest is offered.
    """
    if (model := find(name)) is None:
        raise unknown_model(name)
    return model


def unknown_model(name: str) -> SettingsError:
    """The error for a name that no model has; it offers the nearest known one."""
    known = _by_alias()
    nearest = difflib.get_close_matches(str(name).lower(), list(known), n=1)
    offer = f" Did you mean {known[nearest[0]].name!r}?" if nearest else ""
    others = ", ".join(alias for model in KNOWN_MODELS.values() for alias in model.aliases[:2])
    return SettingsError(
        f"model_name is {name!r}, which is not a known model.{offer} "
        f"Expected one of {', '.join(KNOWN_MODELS)} (also understood: {others}), a model folder, or a GPT-2 of the "
        "Hugging Face hub, such as distilbert/distilgpt2."
    )


def _by_alias() -> dict[str, KnownModel]:
    return {name.lower(): model for model in KNOWN_MODELS.values() for name in (model.name, *model.aliases)}


# Per source: the environment variable that names a mirror, and the publisher.
_BASES = {
    "huggingface": ("HF_ENDPOINT", "https://huggingface.co"),
    "openai": ("GPT2SIMPLE_OPENAI_URL", "https://openaipublic.blob.core.windows.net/gpt-2/models"),
}
_SMALL_FILE_BYTES = 1_500_000  # set aside for a small file whose length was not published


@dataclass(frozen=True, kw_only=True)
class Download:
    """One file to fetch."""

    file: PublishedFile
    url: str
    identity: str  # what the content is, wherever it comes from: a partial file may be continued from another mirror
    mirror_variable: str  # the environment variable that names another mirror
    expected_bytes: int  # as published, or a guess to check the disk with


def downloads_of(known: KnownModel, *, source: str = "huggingface", base_url: str | None = None) -> list[Download]:
    """The files of a model in the order of fetching, weights last; none for a built-in model.

    Raises:
        SettingsError: the source is unknown, or the base address is no web address.
    """
    base, variable = base_address(source, base_url)
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
            expected_bytes=file.n_bytes or (known.weight_bytes if file is files[-1] else _SMALL_FILE_BYTES),
        )
        for file in files
    ]


def base_address(source: str, base_url: str | None = None, *, argument: str = "base_url") -> tuple[str, str]:
    """The address that a source's files lie below, and the environment variable that names a mirror of it.

    Args:
        base_url: the user's own; None: that of the variable, or the publisher's. argument: what a call names it.

    Raises:
        SettingsError: the source is unknown, or the address is no web address.
    """
    if source not in _BASES:
        raise SettingsError(f"source is {source!r}; expected {' or '.join(repr(name) for name in _BASES)}.")
    variable, publisher = _BASES[source]
    base = (base_url or os.environ.get(variable) or publisher).rstrip("/")
    _require_web_address(base, argument if base_url else variable)
    return base, variable


def _require_web_address(base: str, name: str) -> None:
    try:
        parts = urlsplit(base)
        if parts.scheme in ("http", "https") and parts.hostname:
            return
    except ValueError:
        pass
    raise SettingsError(f"{name} is {base!r}; expected a web address such as 'https://hf-mirror.example'.")
