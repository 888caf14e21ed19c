"""docs/quickstart.md shows the screen as it is: each line is one that the package writes."""

from __future__ import annotations

import pytest

from tests.helpers.documents import DOCS, blocks, text_of
from tests.helpers.quoted import is_held

LINES = [line for block in blocks("text", text_of(DOCS / "quickstart.md")) for line in block.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("line", LINES)
def test_each_line_of_the_screen_is_one_that_the_package_writes(line: str) -> None:
    assert is_held(line)


def test_a_line_that_it_does_not_write_is_found_out() -> None:
    assert len(LINES) > 8
    assert not is_held("step 10: held-out loss is 4.211, the best so far")
    assert not is_held("Stopped at step 324: held-out loss has risen. Best held-out loss: 2.810 at step 288.")
