"""One export: a run's model as a folder for Hugging Face's tools, with a model card, or as a GGUF file for llama.cpp.

Beside it lies ``export.json`` with the digests of what was written. They are not in the run's own run.json: that is
written only by whoever holds the run's lock, which a training has for hours, is copied into checkpoints that are
checked by digests, and an export only reads.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gpt2simple.api.pairs import template_of
from gpt2simple.backend.packages import versions
from gpt2simple.errors import SettingsError
from gpt2simple.evaluation.card.facts import CardFacts, card_facts
from gpt2simple.evaluation.card.figures import FigureGroup, of_file
from gpt2simple.evaluation.card.page import model_card
from gpt2simple.gpt2.formats.adapter import AdapterSource, MergedSource
from gpt2simple.gpt2.formats.detect import open_checkpoint
from gpt2simple.gpt2.formats.gguf import GGUF_FILE, require_gguf, write_gguf
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.formats.reader import WeightSource
from gpt2simple.gpt2.hub.locate import find_base
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.description import FileRecord
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import CHAT_TEMPLATE_FILE, existing_run_path, step_of
from gpt2simple.settings import ExportSettings, SessionSettings, accepts, build, pick
from gpt2simple.settings.export import FORMATS, GGUF, HUGGINGFACE
from gpt2simple.settings.session import CHECKPOINTS, DEFAULT_RUN, RUNS_AND_MODELS
from gpt2simple.settings.tasks import LANGUAGE_MODELING, PAIRS
from gpt2simple.storage.contents import quoted
from gpt2simple.storage.disk import require_space
from gpt2simple.storage.files import atomic_write, sha256_of
from gpt2simple.storage.outputs import OutputKind, check_output, check_unused, output_folder, write_output

logger = logging.getLogger(__name__)

CARD_FILE, RECORD_FILE = "README.md", "export.json"
EXPORTS = Path("exports")
_DTYPES = {"f32": "F32", "f16": "F16"}  # of safetensors
_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 1.0625}  # of a weight; of the last, each block of 32 has a scale too
_NO_MEMORISATION = (
    "The card does not say what was memorised. Where a run wrote samples (sample_every), a report finds that; then "
    "export again."
)
_GENERATOR = "gpt2simple export"
_RECORD = OutputKind("the record of an export of gpt2simple", b"{", f'"generator": "{_GENERATOR}"'.encode())


@accepts(RUNS_AND_MODELS, ExportSettings)
def export(
    run_name: str = DEFAULT_RUN,
    *,
    format: str,  # noqa: A002 - the word for it
    path: str | Path | None = None,
    checkpoint: str = "best",
    **settings: Any,
) -> Path:
    """Write the model of a run for other programs, and return the path of what was written.

    In the format "huggingface" it is a folder that transformers, ctranslate2's converter and others open, with a model
    card: what the run's files say of how the model was made, on how much data, and how good it is; never text of it. In
    "gguf" it is one file for llama.cpp and the programs around it, with the chat template of a run on pairs. An adapter
    is merged into its model. ``export.json``, in the folder or beside the file, holds the digests.

    Args:
        run_name: the run.
        format: "huggingface" or "gguf".
        path: a new or empty folder, or a file; None: in ``exports/``, named after the run. An earlier GGUF file of this
            package is replaced, nothing else is.
        checkpoint: "best" or "latest" weights of the run.
        settings: see below.

    Raises:
        RunError: the run does not exist. SettingsError: a setting is out of range, or something has the path already.
        CheckpointError: the model cannot be written in that format. BackendError: gguf is not installed, which that
            format needs. StorageError: the disk is full or cannot be written.
    """
    if format not in FORMATS:
        raise SettingsError(f"format is {quoted(format)}; expected {GGUF!r} or {HUGGINGFACE!r}.")
    wanted, place = build(ExportSettings, settings), SessionSettings(**pick(settings, RUNS_AND_MODELS))
    kind = wanted.stored_as(format)
    run = RunFolder(existing_run_path(Path(place.checkpoint_dir), run_name))
    write, ending = (_write_gguf, f"-{kind}.gguf") if format == GGUF else (write_folder, "")
    target = EXPORTS / f"{run_name}{ending}" if path is None else Path(path)
    if format == GGUF:
        if wanted.evaluation is not None:
            raise SettingsError(
                "evaluation puts figures on the model card, and a GGUF file has none. Leave it out, or export in the "
                "format huggingface."
            )
        require_gguf()
        check_output(target, GGUF_FILE)
        check_output(_record_beside(target), _RECORD)
    else:
        check_unused(target)
    with opened_run(run, checkpoint, wanted, Path(place.model_dir)) as opened:
        require_space(target.parent, int(_BYTES[kind] * opened.source.config.parameters), f"Exporting {run_name}")
        write(target, opened, kind)
    logger.info(f"Exported {opened.in_words()} to {target}.")
    return target


@dataclass(frozen=True, kw_only=True)
class OpenedRun:
    """A run's model, open to be written elsewhere.

    Attributes:
        source: its weights, an adapter merged. tokenizer: its own. step: whose weights they are; None: not known.
        evaluation: figures that were saved elsewhere. settings: of the call. model_dir: where models lie.
    """

    run: RunFolder
    source: WeightSource
    tokenizer: Tokenizer
    step: int | None
    evaluation: FigureGroup | None
    settings: ExportSettings
    model_dir: Path

    @property
    def chat_template(self) -> str | None:
        """In Jinja, of a run on pairs; None: of another one."""
        if not self.run.exists or self.run.info.description.task != PAIRS:
            return None
        return template_of(self.run).chat_template()

    def facts(self) -> CardFacts:
        """What the model card is made of."""
        return card_facts(self.run, self.source.config, self.step, model_dir=self.model_dir, more=self.evaluation)

    def in_words(self) -> str:
        """Which weights of which run."""
        return f"the run {self.run.path.name}" + ("" if self.step is None else f", step {self.step:,},")


@contextlib.contextmanager
def opened_run(run: RunFolder, checkpoint: str, settings: ExportSettings, model_dir: Path) -> Iterator[OpenedRun]:
    """The model of a run, which may be training meanwhile.

    Raises:
        SettingsError: there is no such checkpoint, or the evaluation is not of this run.
        RunError: the run holds no model. CheckpointError: it cannot be read.
    """
    if checkpoint not in CHECKPOINTS:
        raise SettingsError(f'checkpoint is {quoted(checkpoint)}; expected "best" or "latest".')
    evaluation = None if settings.evaluation is None else of_file(Path(settings.evaluation), run.path.name)
    read: Callable[[Path], OpenedRun] = partial(
        _open, run=run, evaluation=evaluation, settings=settings, model_dir=model_dir
    )
    opened = run.read_model(checkpoint, read)  # type: ignore[arg-type]
    with opened.source:
        yield opened


def _open(folder: Path, *, model_dir: Path, run: RunFolder, **others: Any) -> OpenedRun:
    tokenizer = Tokenizer.load(folder)
    source = open_checkpoint(folder, partial(find_base, model_dir=model_dir))
    if isinstance(source, AdapterSource):
        source = MergedSource(source)
    return OpenedRun(run=run, source=source, tokenizer=tokenizer, step=step_of(folder), model_dir=model_dir, **others)


def write_folder(target: Path, opened: OpenedRun, kind: str) -> None:
    """Write a folder for Hugging Face's tools, whole or not at all."""
    settings, config = opened.settings, opened.source.config
    with output_folder(target) as new:
        write_model_folder(new, config, opened.source.read, opened.tokenizer, dtype=_DTYPES[kind])
        if (template := opened.chat_template) is not None:
            atomic_write(new / CHAT_TEMPLATE_FILE, template)
        facts = opened.facts()
        if facts.task == LANGUAGE_MODELING and facts.memorisation is None and opened.run.exists:
            logger.info(_NO_MEMORISATION)
        atomic_write(new / CARD_FILE, model_card(facts, license=settings.license, languages=settings.language))
        files = sorted(new.iterdir())
        atomic_write(new / RECORD_FILE, _record(opened, HUGGINGFACE, kind, files))


def _write_gguf(target: Path, opened: OpenedRun, kind: str) -> None:
    facts = opened.facts()
    write_gguf(
        target, opened.source.config, opened.source.read, opened.tokenizer, kind=kind, name=opened.run.path.name,
        chat_template=opened.chat_template, licence=opened.settings.license or facts.base.license,
        languages=opened.settings.language, base_model=facts.base.repo,
    )  # fmt: skip
    write_output(_record_beside(target), _RECORD, _record(opened, GGUF, kind, [target]))


def _record_beside(target: Path) -> Path:
    return target.with_name(f"{target.name}.{RECORD_FILE}")


def _record(opened: OpenedRun, format: str, kind: str, files: list[Path]) -> str:  # noqa: A002
    """The content of export.json: the same for the same export."""
    records = {path.name: FileRecord(path.stat().st_size, sha256_of(path)).to_json() for path in files}
    values = {
        "generator": _GENERATOR,
        "version": versions()["gpt2simple"],
        "run": opened.run.path.name,
        "step": opened.step,
        "format": format,
        "kind": kind,
        "files": records,
    }
    return json.dumps(values, indent=2) + "\n"
