"""One upload to Hugging Face's hub: a run's model is exported, what would go up is listed, and only then it goes up."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gpt2simple.api.export import RECORD_FILE, opened_run, write_folder
from gpt2simple.backend.packages import require
from gpt2simple.errors import SettingsError, UploadError
from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.gpt2.hub.fetch import innermost
from gpt2simple.gpt2.hub.registry import base_address
from gpt2simple.runs.folder import RunFolder
from gpt2simple.runs.layout import existing_run_path
from gpt2simple.settings import ExportSettings, SessionSettings, accepts, build, pick
from gpt2simple.settings.export import HUGGINGFACE
from gpt2simple.settings.session import RUNS_AND_MODELS
from gpt2simple.storage.contents import counted, quoted, reason
from gpt2simple.storage.disk import make_folder, readable_size, require_space

logger = logging.getLogger(__name__)
_REPO = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")
_LONGEST_REPO = 96  # characters, as the hub has it


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """An upload, or what would be uploaded.

    Attributes:
        repo_id: on the hub. files: their names and lengths in bytes, in order.
        is_public: whether everybody can read it. exists: whether it was there before; files of these names in it are
            replaced.
        url: where it is; None: nothing was uploaded.
    """

    repo_id: str
    files: tuple[tuple[str, int], ...]
    is_public: bool
    exists: bool
    url: str | None = None

    def listing(self) -> str:
        """What goes up, a line for each file."""
        lines = [f"  {name}  {readable_size(size)}" for name, size in self.files]
        return "\n".join([f"{self._where()}:", *lines, f"  {self._total()}"])

    def summary(self) -> str:
        """What went up, and where it is."""
        return f"{self.listing()}\n{self._outcome()}"

    def _where(self) -> str:
        kind = f"{'the' if self.exists else 'the new'} {'public' if self.is_public else 'private'} repository"
        return f"To {kind} {self.repo_id}" + ("; files of the same names there are replaced" if self.exists else "")

    def _total(self) -> str:
        return f"{counted(len(self.files), 'file')}, {readable_size(sum(size for _, size in self.files))}"

    def _outcome(self) -> str:
        return "Nothing was uploaded. With yes=True (--yes) this is." if self.url is None else f"Uploaded: {self.url}"

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {**vars(self), "files": [{"name": name, "bytes": size} for name, size in self.files]}

    def _repr_html_(self) -> str:
        rows = [(name, readable_size(size)) for name, size in self.files]
        table = {"caption": f"{self._where()}: {self._total()}", "heads": ("file", "size"), "rows": rows}
        return shown_in_notebook([table], after=[self._outcome()])


@accepts(RUNS_AND_MODELS, ExportSettings)
def push(
    run_name: str,
    repo_id: str,
    *,
    public: bool = False,
    yes: bool = False,
    ask: Callable | None = None,
    checkpoint: str = "best",
    token: str | None = None,
    endpoint: str | None = None,
    **settings: Any,
) -> PushResult:
    """Upload the model of a run to Hugging Face's hub, as ``export`` writes it with its model card; needs its account.

    Without ``yes=True`` nothing goes up, and the result lists what would. Only the files of that list ever do: weights,
    config, tokenizer and model card; no samples, no training text, no encoded text and no state of the optimizer.

    Args:
        run_name: the run.
        repo_id: of the repository, ``name`` or ``owner/name``; made if it is missing.
        public: whether everybody may read it; else only its owner may, and a public one is refused.
        yes: upload what would be listed.
        ask: in place of ``yes``: called with the list, a ``PushResult``; uploads if it returns true.
        checkpoint: "best" or "latest" weights of the run.
        token: of the account, with the right to write; None: HF_TOKEN from the environment, or the one that
            ``hf auth login`` saved.
        endpoint: another server than the hub; None: HF_ENDPOINT from the environment, or the hub.
        settings: see below.

    Raises:
        BackendError: huggingface_hub is not installed. RunError: the run does not exist.
        SettingsError: a setting is out of range, or the repository is public and ``public`` is false.
        UploadError: there is no token, the server refuses it, or cannot be reached.
        StorageError: the disk has no room for what is to be uploaded.
    """
    require({"huggingface_hub": "huggingface_hub"}, "uploading needs")
    if not _REPO.fullmatch(repo_id) or len(repo_id) > _LONGEST_REPO:
        raise SettingsError(f"repo_id is {quoted(repo_id)}; expected a name such as 'play', or 'owner/play'.")
    wanted, place = build(ExportSettings, settings), SessionSettings(**pick(settings, RUNS_AND_MODELS))
    kind = wanted.stored_as(HUGGINGFACE)
    run = RunFolder(existing_run_path(Path(place.checkpoint_dir), run_name))
    hub = _Hub(token, base_address(HUGGINGFACE, endpoint, argument="endpoint")[0])
    repo_id, is_there = hub.find(repo_id, public=public)
    make_folder(run.path.parent)
    with (
        opened_run(run, checkpoint, wanted, Path(place.model_dir)) as opened,
        tempfile.TemporaryDirectory(prefix="gpt2simple-push-") as temporary,
    ):
        require_space(Path(temporary), 4 * opened.source.config.parameters, f"Preparing {run_name} for uploading")
        folder = Path(temporary, run_name)
        write_folder(folder, opened, kind)
        (folder / RECORD_FILE).unlink()  # the hub keeps digests itself
        files = tuple((path.name, path.stat().st_size) for path in sorted(folder.iterdir()))
        found = PushResult(repo_id=repo_id, files=files, is_public=public, exists=is_there)
        if not (yes or (ask is not None and ask(found))):
            if ask is None:
                logger.info("Nothing was uploaded.")
            return found
        return replace(found, url=hub.upload(folder, found))


class _Hub:
    """The hub, as far as an upload needs it; every fault of it is an UploadError.

    Args:
        token: of the account; None: the one on this machine. endpoint: the server.

    Raises:
        UploadError: there is no token.
    """

    def __init__(self, token: str | None, endpoint: str) -> None:
        from huggingface_hub import HfApi, get_token

        self._endpoint = endpoint
        if not (token := token or get_token()):
            raise UploadError(
                "There is no token of an account on the hub. Make one with the right to write at "
                f"{endpoint}/settings/tokens, and set HF_TOKEN to it or call `hf auth login`."
            )
        self._api = HfApi(endpoint=endpoint, token=token)

    def find(self, repo_id: str, *, public: bool) -> tuple[str, bool]:
        """The whole name of a repository, and whether it is there already.

        Raises:
            SettingsError: it is public, and must not be.
        """
        from huggingface_hub.errors import RepositoryNotFoundError

        with self._faults(repo_id):
            owner = self._api.whoami()["name"]
            whole = repo_id if "/" in repo_id else f"{owner}/{repo_id}"
            try:
                is_public = not self._api.model_info(whole).private
            except RepositoryNotFoundError:
                return whole, False
        if is_public != public:
            state, other = (
                ("public", "public=True (--public)") if is_public else ("private", "public=False (no --public)")
            )
            raise SettingsError(
                f"The repository {whole} is there already and is {state}. Give {other} to upload to it as it is, or "
                "another repo_id."
            )
        return whole, True

    def upload(self, folder: Path, found: PushResult) -> str:
        """Upload the files of the list, and return the address of the model."""
        with self._faults(found.repo_id), _as_the_clients_own(self._endpoint):
            self._api.create_repo(found.repo_id, private=not found.is_public, exist_ok=True)
            self._api.upload_folder(
                repo_id=found.repo_id,
                folder_path=folder,
                allow_patterns=[name for name, _ in found.files],
                commit_message="Upload by gpt2simple",
            )
        return f"{self._endpoint}/{found.repo_id}"

    @contextmanager
    def _faults(self, repo_id: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # of huggingface_hub, and of the HTTP library that it uses: each version another
            raise _fault(error, repo_id, self._endpoint) from error


@contextmanager
def _as_the_clients_own(endpoint: str) -> Iterator[None]:
    """Make a server the one that huggingface_hub takes where it was told none: 0.36 does not know its own answer to a
    commit by another address."""
    from huggingface_hub import constants

    before = constants.ENDPOINT
    constants.ENDPOINT = endpoint
    try:
        yield
    finally:
        constants.ENDPOINT = before


def _fault(error: Exception, repo_id: str, endpoint: str) -> UploadError:
    """What to raise for what the hub's client raised, in one line."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return UploadError(
            f"{endpoint} does not accept the token (status 401). Make a new one with the right to write at "
            f"{endpoint}/settings/tokens, and set HF_TOKEN to it or call `hf auth login`."
        )
    if status == 403:
        return UploadError(
            f"The token may not write to {repo_id} (status 403). Take one with the right to write, or a repo_id of "
            "your own account or organisation."
        )
    if status is not None:
        return UploadError(f"{endpoint} refuses the upload to {repo_id} (status {status}: {reason(error)}).")
    if isinstance(error, ValueError):  # of the card, which the hub checks first
        return UploadError(f"{endpoint} refuses the upload to {repo_id} ({reason(error)}).")
    return UploadError(
        f"{endpoint} cannot be reached ({innermost(error)}). Check the network and HF_ENDPOINT, and call again: "
        "what is there already is not sent twice."
    )
