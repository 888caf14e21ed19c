"""docs/troubleshooting.md quotes messages as the package writes them: each is held to the strings of the sources."""

from __future__ import annotations

import pytest

from tests.helpers.documents import DOCS, blocks, text_of
from tests.helpers.quoted import is_held

QUOTED = [" ".join(block.split()) for block in blocks("text", text_of(DOCS / "troubleshooting.md"))]
MORE = " ..."  # a quotation that ends so leaves the other sentences out


@pytest.mark.parametrize("quoted", QUOTED, ids=[quoted[:60] for quoted in QUOTED])
def test_each_message_is_one_that_the_package_writes(quoted: str) -> None:
    assert is_held(quoted.removesuffix(MORE))


def test_there_are_as_many_as_a_user_meets() -> None:
    assert len(set(QUOTED)) == len(QUOTED) > 40


@pytest.mark.parametrize(
    "changed",
    [
        "This session is over. Start another one with gpt2simple.start_session(...).",
        "There is no run 'plya' in checkpoint. Something else. Train one.",
        "model.safetensors is a Git LFS pointer, not the data: it was cloned without Git.",
    ],
)
def test_a_message_that_was_changed_is_found_out(changed: str) -> None:
    assert not is_held(changed)
