"""docs/choosing.md quotes what was measured: figures of the README and of lora.md, performance.md and defaults.md."""

from __future__ import annotations

import re

from tests.helpers.documents import DOCS, README, text_of

CHOOSING = text_of(DOCS / "choosing.md")
LORA, PERFORMANCE, DEFAULTS = (
    " ".join(text_of(DOCS / name).split()) for name in ("lora.md", "performance.md", "defaults.md")
)


def cells(text: str, row: str) -> list[str]:
    """The cells of the first row of a table that begins so, after what it begins with."""
    found, *_ = re.findall(rf"^\| {re.escape(row)} \| (.*) \|$", text, re.MULTILINE)
    return [cell.strip() for cell in found.split("|")]


def fits(size: str) -> list[str]:
    """What the page says that a size takes: download, all weights, LoRA in bfloat16 and in int8."""
    return [re.sub(r",.*", "", cell) for cell in cells(CHOOSING, f"`{size}`")[:4]]


def test_what_fits_is_what_was_measured() -> None:
    readme = text_of(README)
    downloads = [cell.split("; ")[-1] for cell in cells(readme, "parameters; context in tokens; download")]
    whole = [cell.partition(",")[0] for cell in cells(readme, "peak memory of the process")]
    for size, download, peak in zip(("tiny", "124M", "355M"), downloads, whole, strict=True):
        assert fits(size)[:2] == [download, peak]
    for size in ("355M", "774M", "1558M"):
        bfloat16, int8, _ = cells(text_of(DOCS / "lora.md"), size)
        assert fits(size)[2:] == [f"{bfloat16} GB", f"{int8} GB"]
    assert f"All weights of 774M in float32 take {fits('774M')[1]}" in LORA
    (peak,) = re.findall(r"\| 124M \| all weights, ours \|[^|]*\|[^|]*\|[^|]*\|[^|]*\| ([\d.]+) \|", PERFORMANCE)
    assert fits("124M")[2] == f"{peak} GB"


def test_the_times_are_those_measured_and_what_follows_from_them() -> None:
    rows = re.findall(r"^\| `(\w+)`, (.*?) \| (\d+) s \| (\d+) (min|h) \|$", CHOOSING, re.MULTILINE)
    assert len(rows) == 4
    measured = dict(
        zip(
            ("124M", "355M"), cells(text_of(README), "one training step of one context, two CPU cores")[1:], strict=True
        )
    )
    for size, method, seconds, number, unit in rows:
        known = measured.get(size, "") if "all weights" in method else cells(text_of(DOCS / "lora.md"), size)[2] + " s"
        assert re.search(rf"(?<!\d){seconds} s", known)
        assert round(250 * int(seconds) / {"min": 60, "h": 3600}[unit]) == int(number)


def test_what_it_says_of_the_default_run_is_so() -> None:
    assert "with `tiny` at step 528, of 106 steps a pass" in " ".join(CHOOSING.split())
    assert "A pass is 106 steps" in DEFAULTS
    assert "528" in text_of(README)
    for words in ("25 MB", "79 MB"):
        assert words in LORA
        assert words in CHOOSING
    assert "0.03 to 0.07 nats worse" in DEFAULTS
    assert "0.03 to 0.07 nats worse" in CHOOSING
    rows = {row: cells(text_of(DOCS / "defaults.md"), row) for row in ("the defaults", "window=128")}
    short, long = rows["window=128"][2], rows["the defaults"][2].partition(",")[0]
    assert f"ended at {short} bits/byte, windows of 512 at {long}" in " ".join(CHOOSING.split())
