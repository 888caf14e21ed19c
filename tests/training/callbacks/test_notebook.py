"""The loss plot below a notebook's cell: shown once, replaced as it grows, and nowhere but in a notebook."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast

import pytest

from gpt2simple.api.request import Request
from gpt2simple.compat.callbacks import WatchedSession
from gpt2simple.training.callbacks import base
from gpt2simple.training.callbacks.base import standard_callbacks
from gpt2simple.training.callbacks.notebook import in_notebook, live_picture
from gpt2simple.training.callbacks.plot import LossPlot
from tests.helpers.records import end, evaluation, plan, step


class Screen:
    """IPython's place in a process, and what its cells show.

    Attributes:
        shown: each picture with "new" or "in its place".
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, shell: object) -> None:
        self.shown: list[tuple[str, bytes]] = []
        ipython, display = ModuleType("IPython"), ModuleType("IPython.display")
        ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
        display.Image = lambda data, **_: data  # type: ignore[attr-defined]
        display.display = self._display  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display)

    def _display(self, picture: bytes, *, display_id: bool) -> object:
        assert display_id, "without one it could not be replaced"
        self.shown.append(("new", picture))
        return SimpleNamespace(update=lambda other: self.shown.append(("in its place", other)))


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch, SimpleNamespace(kernel="a kernel"))


def test_a_picture_is_shown_once_and_then_replaced(screen: Screen) -> None:
    show = live_picture()
    assert show is not None
    show(b"first")
    show(b"second")
    assert screen.shown == [("new", b"first"), ("in its place", b"second")]


def test_two_runs_have_a_picture_each(screen: Screen) -> None:
    for picture in (b"a", b"b"):
        show = live_picture()
        assert show is not None
        show(picture)
    assert [how for how, _ in screen.shown] == ["new", "new"]


def test_neither_a_script_nor_a_terminal_is_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert (in_notebook(), live_picture()) == (False, None)
    assert "IPython" not in sys.modules, "nothing is imported to find out"
    for shell in (None, SimpleNamespace(colors="Linux")):  # IPython imported by a program, IPython in a terminal
        Screen(monkeypatch, shell)
        assert (in_notebook(), live_picture()) == (False, None)


def watch(folder: Path, show: Callable[[bytes], None], clock: Callable[[], float]) -> LossPlot:
    callback = LossPlot(folder, show=show, clock=clock)
    callback.on_start(plan(folder))
    return callback


def test_what_is_shown_is_the_file_and_it_grows_between_evaluations_too(tmp_path: Path) -> None:
    shown: list[bytes] = []
    now = itertools.count(step=100)
    callback = watch(tmp_path, shown.append, lambda: float(next(now)))
    callback.on_step(step(1))
    assert shown == [(tmp_path / "loss.png").read_bytes()]
    for number in range(2, 200):
        callback.on_step(step(number))
    assert len(shown) > 1
    callback.on_end(end(199))
    assert shown[-1] == (tmp_path / "loss.png").read_bytes()


@pytest.mark.slow
def test_drawing_and_showing_take_at_most_a_fiftieth_of_the_time(tmp_path: Path) -> None:
    now = 0.0
    spent: list[float] = []

    def show(_: bytes) -> None:
        nonlocal now
        now += 3.0  # a slow browser
        spent.append(3.0)

    callback = watch(tmp_path, show, lambda: now)
    for number in range(1, 2001):
        now += 1.0
        callback.on_step(step(number))
        if number % 10 == 0:
            callback.on_evaluation(evaluation(number, 3.0, is_best=number == 10))
    assert 10 <= len(spent) <= 15
    assert sum(spent) + 3.0 <= 0.02 * now, "with the one at the end"


def test_nobody_watching_costs_no_drawing_between_evaluations(tmp_path: Path) -> None:
    callback = LossPlot(tmp_path)
    callback.on_start(plan(tmp_path))
    callback.on_step(step(1))
    assert not (tmp_path / "loss.png").exists()


def test_a_display_that_fails_does_not_cost_the_file(tmp_path: Path) -> None:
    def show(_: bytes) -> None:
        raise RuntimeError("the browser is gone")

    callback = watch(tmp_path, show, lambda: 0.0)
    callback.on_step(step(1))
    callback.on_evaluation(evaluation(1, 3.0, is_best=True))
    callback.on_end(end(1))
    assert (tmp_path / "loss.png").is_file()


def test_the_callbacks_of_a_run_show_it_unless_they_are_told_not_to(screen: Screen, tmp_path: Path) -> None:
    for live, pictures in ((True, 1), (False, 0)):
        screen.shown.clear()
        (plot,) = (one for one in standard_callbacks(tmp_path, live=live) if isinstance(one, LossPlot))
        plot.on_start(plan(tmp_path))
        plot.on_step(step(1))
        assert len(screen.shown) == pictures
    assert base.live_picture is live_picture


def test_gpt_2_simple_s_functions_print_as_they_did_and_show_no_curve(screen: Screen, tmp_path: Path) -> None:
    with WatchedSession("tiny", checkpoint_dir=tmp_path, sample_num=1) as session:
        callbacks, _ = session._callbacks(cast(Request, None))
    (plot,) = (one for one in callbacks if isinstance(one, LossPlot))
    plot.on_start(plan(tmp_path))
    plot.on_step(step(1))
    assert screen.shown == []
