"""A run folder that is whole logs nothing: every test here fails over a message that it does not read."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _no_unread_messages(no_unread_messages: None) -> None:
    pass
