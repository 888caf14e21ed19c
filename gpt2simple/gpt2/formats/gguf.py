"""GGUF files, written: a model, its vocabulary and its settings in one file, as llama.cpp's converter writes GPT-2.

The gguf package makes the header and packs matrices; the tensors go into the file one at a time here, where that would
hold all of them. GGUF's matrices are [out, in]. The head is left out: loaders take the embedding for it. Vectors and
positions are float32 in every file.
"""

from __future__ import annotations

import logging
import math
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import numpy as np

from gpt2simple.backend.packages import require
from gpt2simple.errors import CheckpointError, SettingsError
from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import require_vocabulary
from gpt2simple.gpt2.formats.names import canonical_shapes, to_gguf
from gpt2simple.gpt2.tokenizer.added import AddedToken
from gpt2simple.gpt2.tokenizer.vocabulary import Vocabulary, to_symbols
from gpt2simple.storage.contents import quoted
from gpt2simple.storage.outputs import OutputKind, output_file

if TYPE_CHECKING:
    from gpt2simple.gpt2.tokenizer import Tokenizer

logger = logging.getLogger(__name__)


class _Kind(NamedTuple):
    """How matrices are stored: llama.cpp's number for such a file, GGML's name of the type, its largest value."""

    file_type: int
    matrices: str
    largest: float


_LARGEST_HALF = float(np.finfo(np.float16).max)
# An 8-bit block is 32 numbers of a row up to 127, and their scale as a half.
KINDS = {
    "f32": _Kind(0, "F32", float(np.finfo(np.float32).max)),
    "f16": _Kind(1, "F16", _LARGEST_HALF),
    "q8_0": _Kind(7, "Q8_0", 127 * _LARGEST_HALF),
}
_BLOCK = 32  # numbers of a row that share a scale
_ALIGNMENT = 32  # bytes: where each tensor begins

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5  # GGUF's types of tokens
_QUANTIZATION_VERSION = 2

# No other program has these two keys beside each other, and llama.cpp's quantiser parts them: its files are the user's.
_QUANTIZATION, _TYPE = b"general.quantization_version", b"general.type"
_MARK = _QUANTIZATION + struct.pack("<IIQ", 4, _QUANTIZATION_VERSION, len(_TYPE)) + _TYPE  # 4: an unsigned number
GGUF_FILE = OutputKind("a GGUF file of gpt2simple", b"GGUF", _MARK)


def require_gguf() -> None:
    """Return if GGUF files can be written; to be called before anything large is loaded.

    Raises:
        BackendError: gguf is not installed or cannot be imported.
    """
    require({"gguf": "gguf"}, "writing GGUF files needs")


def check_gguf(config: ModelConfig, tokenizer: Tokenizer, *, kind: str) -> None:
    """Return if a model can be written as such a file; it reads no weights.

    Raises:
        SettingsError: there is no such kind, or not for a model of this width.
        CheckpointError: the model is a classifier, or the vocabulary is not this model's or none that llama.cpp reads.
    """
    if kind not in KINDS:
        raise SettingsError(f"The kind of GGUF file is {quoted(kind)}; expected one of {', '.join(KINDS)}.")
    if config.labels:
        raise CheckpointError(
            f"This model is a classifier of {len(config.labels)} classes, and GGUF files hold language models: "
            "llama.cpp has no GPT-2 that classifies. Export it in the format huggingface."
        )
    if kind == "q8_0" and config.n_embd % _BLOCK:
        raise SettingsError(
            f"q8_0 stores the rows of matrices in blocks of {_BLOCK} numbers, and this model is {config.n_embd} wide, "
            "which is no multiple of that. Take f16."
        )
    require_vocabulary(config, tokenizer)
    if not tokenizer.vocabulary.merges:
        raise CheckpointError(
            "The vocabulary has no merges, and llama.cpp opens no GGUF file without any. Use a model whose vocabulary "
            "has some, or export this one in the format huggingface."
        )


def write_gguf(
    path: Path,
    config: ModelConfig,
    read: Callable[[str], np.ndarray],
    tokenizer: Tokenizer,
    *,
    kind: str,
    name: str,
    chat_template: str | None = None,
    licence: str | None = None,
    languages: Sequence[str] = (),
    base_model: str | None = None,
) -> None:
    """Write a GGUF file, whole or not at all, holding one weight at a time; the same call gives the same bytes.

    Args:
        path: the file. An earlier GGUF file of this package is replaced, anything else is not.
        config: the model's.
        read: gives the weight of a canonical name, merged with an adapter where there is one; such as a
            `LoadedModel`'s `read`.
        tokenizer: the model's; rows of the embedding beyond it become unused tokens.
        kind: how matrices are stored: f32, f16 or q8_0 (8 bits, and a scale for each 32 numbers of a row).
        name: the model's, for people.
        chat_template: how a conversation is written, in Jinja, as Hugging Face's tokenizers have it.
        licence: as the hub abbreviates it. languages: ISO codes.
        base_model: what the model was made from, ``owner/name`` on the hub.

    Raises:
        BackendError: gguf is not installed.
        CheckpointError, SettingsError: see ``check_gguf``; a weight is too large for the kind, or the path is taken.
        StorageError: the disk is full or the file cannot be written.
    """
    require_gguf()
    check_gguf(config, tokenizer, kind=kind)
    about = _About(name, licence, tuple(languages), base_model, chat_template)
    header = _header(config, tokenizer.vocabulary, KINDS[kind], about)
    with output_file(path, GGUF_FILE) as file:
        _write_aligned(file, memoryview(header))
        for tensor in _tensors(config, KINDS[kind]):
            _write_aligned(file, tensor.data(read(tensor.weight)))


class _About(NamedTuple):
    """What the file says about the model, as the converter does that reads a model card."""

    name: str
    licence: str | None
    languages: tuple[str, ...]
    base_model: str | None
    chat_template: str | None

    def add_to(self, writer: Any) -> None:
        import gguf

        writer.add_name(self.name)
        if self.licence is not None:
            writer.add_license(self.licence)
        if self.base_model is not None:
            owner, _, name = self.base_model.partition("/")
            writer.add_base_model_count(1)
            writer.add_base_model_name(0, gguf.Metadata.id_to_title(name))
            writer.add_base_model_organization(0, gguf.Metadata.id_to_title(owner))
            writer.add_base_model_repo_url(0, f"https://huggingface.co/{self.base_model}")
        if self.languages:
            writer.add_languages(self.languages)
        if self.chat_template is not None:
            writer.add_chat_template(self.chat_template)


class _Tensor(NamedTuple):
    """A tensor of the file."""

    name: str
    weight: str  # its canonical name
    shape: tuple[int, ...]  # [out, in], [V, E], [T, E] or [n]
    ggml_type: str
    largest: float  # of its values

    def data(self, weight: np.ndarray) -> memoryview:
        """The bytes of a weight of its canonical shape."""
        import gguf

        high = max(float(weight.max()), -float(weight.min()))
        if not high <= self.largest:  # NaN is not either
            raise CheckpointError(
                f"{self.weight} holds values up to {high:.4g}, and {self.ggml_type} ends at {self.largest:.4g}. "
                + ("Take f32." if math.isfinite(high) else "Use a checkpoint from before the training that damaged it.")
            )
        values = weight.T if _is_transposed(self.weight) else weight
        assert values.shape == self.shape, (self.weight, values.shape, self.shape)
        values = np.ascontiguousarray(values, np.float32)
        packed = gguf.quants.quantize(values, gguf.GGMLQuantizationType[self.ggml_type])
        return packed.reshape(-1).view(np.uint8).data


def _is_transposed(weight: str) -> bool:
    """Whether GGUF has a matrix the other way round than its canonical shape: [out, in] for [in, out]."""
    return weight not in ("wte.weight", "wpe.weight")  # of vectors it changes nothing


def _tensors(config: ModelConfig, kind: _Kind) -> Iterator[_Tensor]:
    """What the file holds, in its order."""
    for weight, shape in canonical_shapes(config).items():
        is_matrix = len(shape) == 2 and weight != "wpe.weight"
        ggml_type, largest = (kind.matrices, kind.largest) if is_matrix else ("F32", KINDS["f32"].largest)
        stored = shape[::-1] if _is_transposed(weight) else shape
        yield _Tensor(to_gguf(weight), weight, stored, ggml_type, largest)


def _header(config: ModelConfig, vocabulary: Vocabulary, kind: _Kind, about: _About) -> bytes:
    """What stands before the tensors: settings, vocabulary, and where each tensor lies."""
    import gguf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "header")
        writer = gguf.GGUFWriter(path, "gpt2")
        writer.add_file_type(kind.file_type)
        writer.add_quantization_version(_QUANTIZATION_VERSION)
        writer.add_type("model")
        writer.add_size_label(gguf.size_label(config.parameters, config.parameters, 0, 0))
        about.add_to(writer)
        writer.add_block_count(config.n_layer)
        writer.add_context_length(config.n_ctx)
        writer.add_embedding_length(config.n_embd)
        writer.add_feed_forward_length(4 * config.n_embd)
        writer.add_head_count(config.n_head)
        writer.add_layer_norm_eps(config.layer_norm_epsilon)
        _add_vocabulary(writer, vocabulary, config.n_vocab)
        for tensor in _tensors(config, kind):
            ggml_type = gguf.GGMLQuantizationType[tensor.ggml_type]
            bytes_shape = gguf.quants.quant_shape_to_byte_shape(tensor.shape, ggml_type)
            size = math.prod(bytes_shape)
            writer.add_tensor_info(tensor.name, bytes_shape, np.dtype(np.uint8), size, raw_dtype=ggml_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        return path.read_bytes()


def _add_vocabulary(writer: Any, vocabulary: Vocabulary, n_vocab: int) -> None:
    """The tokens by id, their types, and the merges.

    ``pre`` is the rule that parts words before merging; the vocabularies of this package all have GPT-2's.
    """
    tokens, types = _tokens(vocabulary, n_vocab)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([f"{to_symbols(left)} {to_symbols(right)}" for left, right in vocabulary.merges])
    writer.add_bos_token_id(vocabulary.end_of_text)
    writer.add_eos_token_id(vocabulary.end_of_text)
    writer.add_add_bos_token(False)


def _tokens(vocabulary: Vocabulary, n_vocab: int) -> tuple[list[str], list[int]]:
    """The spelling and the type of each id; ids that no token has are unused.

    Raises:
        CheckpointError: two are spelled the same.
    """
    tokens, types = [f"[PAD{index}]" for index in range(n_vocab)], [_UNUSED] * n_vocab
    for data, index in vocabulary.ids.items():
        tokens[index], types[index] = to_symbols(data), _NORMAL
    for name, token in vocabulary.added.items():
        tokens[token.id], types[token.id] = name, _type(token, is_end=name == vocabulary.end_of_text_name)
    if len(set(tokens)) < n_vocab:
        seen: set[str] = set()
        twice = next(token for token in tokens if token in seen or seen.add(token))  # type: ignore[func-returns-value]
        raise CheckpointError(
            f"The vocabulary has two tokens that GGUF would spell {quoted(twice)}, and llama.cpp tells tokens apart by "
            "their spellings. Give the added one another, or export the model in the format huggingface."
        )
    odd = [name for name, token in vocabulary.added.items() if token.single_word or token.lstrip or token.rstrip]
    if odd:
        logger.warning(
            f"The added token {quoted(odd[0])} is marked single_word, lstrip or rstrip, and GGUF files have no place "
            "for that: llama.cpp finds it inside words too, and keeps the white space beside it."
        )
    return tokens, types


def _type(token: AddedToken, *, is_end: bool) -> int:
    """GGUF's type of an added token. Control tokens are found in a text only if the caller says so, and not printed."""
    if not token.in_text:
        return _NORMAL
    return _CONTROL if token.special or is_end else _USER_DEFINED


def _write_aligned(file: BinaryIO, data: memoryview) -> None:
    """Write bytes, and zeros up to where the next may begin."""
    file.write(data)
    file.write(bytes(-len(data) % _ALIGNMENT))
