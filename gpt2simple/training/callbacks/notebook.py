"""A picture in a notebook's cell that is replaced as a run goes; nothing anywhere else.

IPython is no dependency: whoever runs in a notebook has it loaded.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Any

_WIDTH = 648  # pixels on the screen: as wide as the figure's letters are meant to be read


def in_notebook() -> bool:
    """Whether this process shows pictures below a cell: Jupyter, Colab, VS Code, and not IPython in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return hasattr(shell, "kernel")


def live_picture() -> Callable[[bytes], None] | None:
    """A function that shows a PNG below the cell, in the place of the one before; None: there is no notebook."""
    if not in_notebook():
        return None
    tools = importlib.import_module("IPython.display")
    shown: list[Any] = []  # the display, once there is one

    def show(png: bytes) -> None:
        picture = tools.Image(data=png, format="png", width=_WIDTH)
        if shown:
            shown[0].update(picture)
        else:
            shown.append(tools.display(picture, display_id=True))

    return show
