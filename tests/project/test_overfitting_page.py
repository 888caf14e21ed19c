"""docs/overfitting.md tells what its pictures show: every figure is that of the runs that they were drawn from."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.helpers.documents import DOCS, text_of

PAGE = text_of(DOCS / "overfitting.md")
WORDS = " ".join(PAGE.split())
FIGURES: dict[str, dict[str, Any]] = json.loads(text_of(DOCS / "pictures" / "overfitting.json"))
TEXTS, MODELS = FIGURES["texts"], FIGURES["models"]
WHOLE = TEXTS["the whole play"]


def losses(run: dict[str, Any]) -> tuple[float, float, float]:
    """Held-out loss at the best step and at the end, and training loss at the end."""
    return run["held_out"][run["steps"].index(run["best_step"])], run["held_out"][-1], run["train"][-1]


def cells(run: dict[str, Any]) -> str:
    return " | ".join(f"{loss:.3f}" for loss in losses(run))


def share(name: str, step: int) -> float:
    (found,) = [look["share"] for look in TEXTS[name]["copied"] if look["step"] == step]
    return 100 * found


def test_the_pictures_are_those_that_the_page_shows() -> None:
    shown = set(re.findall(r"\]\(pictures/([\w-]+\.png)\)", PAGE))
    assert shown == {path.name for path in (DOCS / "pictures").glob("*.png")}
    assert sum(path.stat().st_size for path in (DOCS / "pictures").iterdir()) < 500_000


def test_the_tables_are_those_of_the_runs() -> None:
    for name, run in TEXTS.items():
        tokens = run["train_tokens"]
        row = f"| {name} | {tokens:,} | {run['parameters'] / tokens:,.0f} | {run['best_step']} | {cells(run)} |"
        assert row in PAGE
    for name, run in MODELS.items():
        assert f"| {name} | {run['parameters']:,} | {run['best_step']} | {cells(run)} |" in PAGE


def test_what_is_said_of_one_run_is_so() -> None:
    best, last, train = losses(WHOLE)
    step = WHOLE["best_step"]
    assert f"After step {step}** held-out loss rises, from {best:.3f} to {last:.3f}" in WORDS
    assert f"training loss goes on to {train:.3f}" in WORDS
    assert f"300 steps, which is {300 / WHOLE['steps_per_epoch']:.1f} passes" in WORDS
    assert f"rising for {300 - step} steps" in WORDS
    early = WHOLE["steps"].index(20)
    assert abs(WHOLE["held_out"][early] - WHOLE["train"][early]) < 0.15
    assert f"before training ({TEXTS['4,000 characters']['held_out'][0]:.3f})" in WORDS


def test_what_is_said_of_sizes_is_so() -> None:
    for runs in (list(TEXTS.values()), [*reversed(MODELS.values())]):  # from what memorises soonest
        steps = [run["best_step"] for run in runs]
        ends = [losses(run)[1] for run in runs]
        assert steps == sorted(set(steps))
        assert ends == sorted(ends, reverse=True)
    bests = [losses(run)[0] for run in TEXTS.values()]
    assert bests == sorted(bests, reverse=True)
    of_models = [losses(run)[0] for run in MODELS.values()]
    assert max(of_models) - min(of_models) < 0.03
    assert MODELS["large"]["best_step"] <= MODELS["small"]["best_step"] / 2


def test_what_is_said_of_copies_is_so() -> None:
    short, middle, whole = TEXTS
    for name, run in TEXTS.items():
        before = [100 * look["share"] for look in run["copied"] if look["step"] <= run["best_step"]]
        assert before
        assert max(before) < 0.05, name
    assert share(short, 40) < 1 < share(short, 60)
    assert share(middle, 100) < 1 < share(middle, 140)
    assert f"copied ({share(short, 100):.1f} %), at step 220 most ({share(short, 220):.1f} %)" in WORDS
    assert f"reaches {share(middle, 300):.1f} %" in WORDS
    assert f"nothing ({share(whole, 300):.1f} %)" in WORDS
    longest = max(TEXTS[short]["copied"], key=lambda look: look["longest_words"])
    assert f"up to {longest['longest_words']} words in one piece" in WORDS
    quoted = " ".join(" ".join(re.findall(r"^> ?(.*)$", PAGE, re.MULTILINE)).split())
    assert quoted in " ".join(longest["longest"].split())
    natural = [100 * TEXTS[name]["natural_share"] for name in (short, whole)]
    assert f"{natural[0]:.1f} % of its sequences" in WORDS
    assert f"and {natural[1]:.1f} % in the whole play" in WORDS
