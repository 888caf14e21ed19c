"""Fixtures of all tests."""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator

import pytest

from tests.helpers.messages import collected_messages

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as under nohup, where no test of Ctrl-C could pass
    signal.signal(signal.SIGINT, signal.default_int_handler)

if "GPT2SIMPLE_COMPILE_CACHE" not in os.environ:  # in the first process; its workers and their processes share it
    os.environ["GPT2SIMPLE_COMPILE_CACHE"] = tempfile.mkdtemp(prefix="gpt2simple-tests-")
    atexit.register(shutil.rmtree, os.environ["GPT2SIMPLE_COMPILE_CACHE"], ignore_errors=True)

_frozen = (0, 0)  # modules, functions traced


def pytest_collection_finish() -> None:
    _freeze_what_stays()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    _freeze_what_stays()


def _freeze_what_stays() -> None:
    """Leave what imports made, and the graphs of kept functions, out of the collections that every session asks for.

    Looking through these millions of objects would take a quarter of the time.
    """
    global _frozen
    xla = sys.modules.get("gpt2simple.gpt2.network.xla")
    modules, traced = len(sys.modules), sum(xla.traces.values()) if xla else 0
    if modules >= _frozen[0] + 100 or traced >= _frozen[1] + 8:
        gc.unfreeze()  # what was forgotten since can go
        gc.collect()
        gc.freeze()
        _frozen = modules, traced


@pytest.fixture
def messages() -> Iterator[list[str]]:
    """What the package logs for its user while the test runs."""
    with collected_messages() as messages:
        yield messages


@pytest.fixture
def no_unread_messages(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test that does not use `messages` and lets the package log one."""
    with collected_messages() as logged:
        yield
    assert logged == [] or "messages" in request.fixturenames


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their argument: archives hold the time they were made, and workers must find the same tests."""
    return argname if isinstance(val, bytes) else None
