"""What is said on stderr outside of a training run: remarks, and a bar while a text is read.

Knows nothing of what is said.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm

_SECONDS_BEFORE_A_BAR = 1.0


def tell(text: str) -> None:
    """A remark for the user on stderr, above a running progress bar rather than into it; where that is closed, none."""
    if sys.stderr is not None:  # to None tqdm would prefer stdout, which belongs to results
        tqdm.write(text, file=sys.stderr)


@contextlib.contextmanager
def reading_bar(title: str) -> Iterator[Callable[[int, int | None], None]]:
    """A function to call with bytes read and all bytes (None: unknown); in a terminal it moves a bar on stderr.

    What takes less than a second shows none.
    """
    bar = tqdm(
        desc=title,
        unit="B",
        unit_scale=True,
        file=sys.stderr,
        disable=True if sys.stderr is None else None,  # None: where it is no terminal
        delay=_SECONDS_BEFORE_A_BAR,
        leave=False,
    )

    def show(done: int, total: int | None) -> None:
        bar.total = total
        bar.update(done - bar.n)

    with bar:
        yield show
