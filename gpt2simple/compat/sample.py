"""``load_gpt2``, ``generate`` and ``generate_to_file`` with gpt-2-simple's arguments and meanings."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from gpt2simple.api.session import Session
from gpt2simple.compat.sessions import checked
from gpt2simple.compat.train import report_multi_gpu
from gpt2simple.data.documents import plain_line_ends
from gpt2simple.errors import SettingsError
from gpt2simple.gpt2.hub.locate import model_folder
from gpt2simple.runs.checkpoint import read_chosen
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path, step_folder_name, step_folders
from gpt2simple.settings import accepts
from gpt2simple.settings.session import DEFAULT_RUN
from gpt2simple.storage.outputs import UNMARKED, check_output, write_output

logger = logging.getLogger(__name__)
_DEFAULT_LENGTH = 1023  # means "as long as the model allows"
_STEP = re.compile(r"(?:model|step)-(\d+)")


@accepts()
def load_gpt2(
    sess: Any, checkpoint: str = "latest", run_name: str = "run1", checkpoint_dir: str | Path = "checkpoint",
    model_name: str | None = None, model_dir: str | Path = "models", multi_gpu: bool = False, reuse: bool = False,
) -> None:  # fmt: skip
    """Load a run, or a model itself, into the session.

    Args:
        sess: from ``start_tf_sess``. checkpoint: "latest", or a step of the run: "model-300" or "step-000300".
        run_name, checkpoint_dir: which run. model_name, model_dir: a model to load instead, not fine-tuned.
        multi_gpu, reuse: see the module's docstring.

    Raises:
        RunError: there is no such run. SettingsError: it has no such checkpoint. CheckpointError: it cannot be loaded.
    """
    session = checked(sess)
    report_multi_gpu(multi_gpu)
    if model_name:
        folder = model_folder(model_name, Path(model_dir))
        print("Loading pretrained model", folder, flush=True)
        return session.hold(_opened(session, folder), f"model {model_name!r}")
    run = existing_run_path(Path(checkpoint_dir), run_name)
    legacy = RunFolder(run).legacy_step

    def load(folder: Path) -> Session:
        shown = run / f"model-{legacy}" if folder == run and legacy is not None else folder
        print("Loading checkpoint", shown, flush=True)
        return _opened(session, folder)

    session.hold(read_chosen(lambda: _run_weights(run, checkpoint), load), f"run {run_name!r}")


def _opened(session: Any, folder: Path) -> Session:
    session.empty()
    engine = Session(str(folder.absolute()), threads=session.threads, strategy="single")
    _ = engine.tokenizer  # loads the model now, so that errors occur here
    return engine


def _run_weights(run: Path, checkpoint: str) -> Path:
    """The folder to load a run from."""
    if checkpoint == "latest":
        return RunFolder(run).model_folder("latest")
    legacy, steps = RunFolder(run).legacy_step, step_folders(run)
    match = _STEP.fullmatch(checkpoint)
    wanted = int(match[1]) if match else None
    if wanted in steps:
        return steps[wanted]
    if not steps and wanted is not None and wanted == legacy:
        return run
    there = [step_folder_name(step) for step in steps] or [f"model-{legacy}"]
    raise SettingsError(
        f'checkpoint is {checkpoint!r}; {run} can be loaded at "latest" or at {", ".join(there)}. Name one of these.'
    )


@accepts()
def generate(
    sess: Any, run_name: str = "run1", checkpoint_dir: str | Path = "checkpoint", model_name: str | None = None,
    model_dir: str | Path = "models", sample_dir: str = "samples", return_as_list: bool = False,
    truncate: str | None = None, destination_path: str | Path | None = None, sample_delim: str = "=" * 20 + "\n",
    prefix: str | None = None, seed: int | None = None, nsamples: int = 1, batch_size: int | None = 1,
    length: int = 1023, temperature: float = 0.7, top_k: int = 0, top_p: float = 0.0, include_prefix: bool = True,
) -> list[str] | None:  # fmt: skip
    """Print texts by the model in the session, write them to a file, or return them.

    Args:
        sess: from ``start_tf_sess``.
        run_name, checkpoint_dir, model_name, model_dir: what to load if the session is empty.
        sample_dir: has no effect, as in gpt-2-simple.
        return_as_list: return the texts and print nothing.
        truncate: a text ends before the first occurrence of this string.
        destination_path: a new file to write, or one that this program wrote since it started; nothing is printed.
        sample_delim: separates several texts.
        prefix: what each text starts with. include_prefix: whether it is part of the text.
        seed: makes the texts reproducible. nsamples: how many. batch_size: how many at a time; None chooses.
        length: new tokens, at most; with the prefix at most one less than the model's window.
        temperature, top_k, top_p: how tokens are sampled; a ``top_p`` above 0 switches ``top_k`` off.

    Raises:
        RunError: the session is empty and there is no such run. SettingsError: an argument is out of range, or the
            file exists.
    """
    session = checked(sess)
    if destination_path:
        check_output(Path(destination_path), UNMARKED)  # before the work
    if session.holds is None:
        load_gpt2(session, "latest", run_name, checkpoint_dir, model_name, model_dir)
    else:
        _log_what_is_not_loaded(session.holds, run_name, model_name)
    if sample_dir != "samples":
        logger.info("sample_dir has no effect on generate; destination_path names a file to write.")
    texts = session.engine.generate(
        prefix or "",
        length=_new_tokens(session.engine, prefix or "", length),
        truncate=truncate or None,
        include_prefix=include_prefix,
        nsamples=nsamples,
        batch_size=batch_size,
        temperature=temperature,
        top_k=0 if top_p > 0 else top_k,
        top_p=top_p,
        seed=seed,
    )
    texts = [text.lstrip("\n") for text in texts]
    shown = "".join(f"{text}\n{sample_delim if nsamples > 1 else ''}" for text in texts)
    if destination_path:
        write_output(Path(destination_path), UNMARKED, shown)
    elif not return_as_list:
        print(shown, end="", flush=True)
    return texts if return_as_list else None


@accepts()
def generate_to_file(
    sess: Any, run_name: str = "run1", checkpoint_dir: str | Path = "checkpoint", model_name: str | None = None,
    model_dir: str | Path = "models", truncate: str | None = None, destination_path: str | Path = "gpt_2_gen_texts.txt",
    sample_delim: str = "=" * 20 + "\n", prefix: str | None = None, seed: int | None = None, nsamples: int = 1,
    batch_size: int | None = 1, length: int = 1023, temperature: float = 0.7, top_k: int = 0, top_p: float = 0.0,
    include_prefix: bool = True,
) -> None:  # fmt: skip
    """Write to ``destination_path`` what ``generate`` would print."""
    generate(**locals())


def _log_what_is_not_loaded(holds: str, run_name: str, model_name: str | None) -> None:
    """Say so where a call names something else than the session holds."""
    wanted = f"model {model_name!r}" if model_name else f"run {run_name!r}"
    if wanted != holds and (model_name or run_name != DEFAULT_RUN):
        logger.info(
            f"The session holds {holds}, which is used now; {wanted} is not loaded. "
            "To load it: sess = gpt2.reset_session(sess), then gpt2.load_gpt2(sess, ...)."
        )


def _new_tokens(engine: Session, prefix: str, length: int) -> int:
    """How many tokens to generate after a prefix."""
    window, used = engine.context_length, len(engine.tokenizer.encode(plain_line_ends(prefix)))
    room = window - 1 - used
    if room < 1:
        raise SettingsError(
            f"prefix has {used} tokens, but prefix and new text together may have {window - 1}. Shorten the prefix."
        )
    if length > room and length != _DEFAULT_LENGTH:
        logger.info(
            f"length is {length}; only {room} tokens are generated, as prefix and new text together may have "
            f"{window - 1}."
        )
    return min(length, room)
