"""What ``start_tf_sess`` returns: a container for one model, filled by the calls that it is passed to."""

from __future__ import annotations

from typing import Any

from gpt2simple.api.console import show_messages
from gpt2simple.api.session import Session
from gpt2simple.backend.devices import found_gpus
from gpt2simple.errors import SettingsError
from gpt2simple.settings import accepts
from gpt2simple.storage.contents import quoted


class NotebookSession:
    """At most one model in memory; empty until ``finetune`` or ``load_gpt2`` fills it.

    Attributes:
        threads: CPU threads for a computation; None: all cores.
        holds: description of the model in memory ("run 'run1'", "model '124M'"); None: nothing.
        closed: whether ``close`` was called.
    """

    def __init__(self, threads: int | None) -> None:
        self.threads = threads
        self.holds: str | None = None
        self._engine: Session | None = None
        self.closed = False

    @property
    def engine(self) -> Session:
        """The session of this package that holds the model.

        Raises:
            SettingsError: nothing has been loaded yet.
        """
        if self._engine is None:
            raise SettingsError("The session has no model yet. Call gpt2.load_gpt2(sess) or gpt2.finetune first.")
        return self._engine

    def hold(self, engine: Session, what: str) -> None:
        """Keep a session of this package, and close the previous one."""
        self.empty()
        self._engine, self.holds = engine, what

    def empty(self) -> None:
        """Free the model."""
        if self._engine is not None:
            self._engine.close()
        self._engine = self.holds = None

    def close(self) -> None:
        """Free the model; a closed session cannot load another."""
        self.empty()
        self.closed = True

    def __enter__(self) -> NotebookSession:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def checked(sess: Any) -> NotebookSession:
    """The session that a user passed.

    Raises:
        SettingsError: it is something else, or closed.
    """
    if not isinstance(sess, NotebookSession):
        raise SettingsError(
            f"sess is a {type(sess).__name__}; expected what start_tf_sess() returns. "
            "Call sess = gpt2.start_tf_sess() and pass that."
        )
    if sess.closed:
        raise SettingsError("This session is closed. Start another one: sess = gpt2.start_tf_sess().")
    return sess


@accepts()
def start_tf_sess(threads: int = -1, server: Any = None) -> NotebookSession:
    """Return a new, empty session for ``finetune`` or ``load_gpt2`` to fill.

    Args:
        threads: CPU threads, fixed for the process by the first call that computes; -1 or 0: all cores.
        server: must be None.

    Raises:
        SettingsError: a server was given.
    """
    if server is not None:
        raise SettingsError(
            f"server is {quoted(server)}; this package computes in its own process, not on a TensorFlow server. "
            "Leave it out."
        )
    show_messages()
    return NotebookSession(threads if threads > 0 else None)


@accepts()
def reset_session(sess: Any, threads: int = -1, server: Any = None) -> NotebookSession:
    """A new, empty session; the old one is closed and its memory freed."""
    new = start_tf_sess(threads, server)
    checked(sess).close()
    return new


def get_available_gpus() -> list[str]:
    """The names of the GPUs that TensorFlow may use, such as "/device:GPU:0"; empty without any."""
    return [f"/device:GPU:{number}" for number, _ in enumerate(found_gpus())]
