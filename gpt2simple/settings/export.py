"""How a model is exported: how its weights are stored, and what its card says that no run knows."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpt2simple.errors import SettingsError
from gpt2simple.settings.fields import check, setting, texts_to_tuples
from gpt2simple.storage.contents import quoted

FORMATS = GGUF, HUGGINGFACE = ("gguf", "huggingface")
WEIGHTS, ABOUT = "Weights", "About the model"  # headings
F32, F16, Q8_0 = "f32", "f16", "q8_0"
_KINDS = {GGUF: (F16, F32, Q8_0), HUGGINGFACE: (F32, F16)}  # the default first
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]*")
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]+)*|code|multilingual")


@dataclass(frozen=True, kw_only=True)
class ExportSettings:
    """How the model is exported."""

    kind: str | None = setting(
        None,
        "How weights are stored: f32, f16 or, only in gguf, q8_0 (a byte each); None: f16 in gguf, f32 in huggingface.",
        choices=(F32, F16, Q8_0),
        group=WEIGHTS,
    )
    license: str | None = setting(
        None,
        "Licence on the card or in the GGUF file, as the hub abbreviates it, such as mit; None: that of the base "
        "model, if known.",
        group=ABOUT,
    )
    evaluation: str | None = setting(
        None,
        "File with what `gpt2simple evaluate --json` printed for the run; its figures, with standard error or "
        "intervals, go on the model card.",
        path=True,
        group=ABOUT,
    )
    language: tuple[str, ...] = setting(
        (),
        "Language on the card or in the GGUF file, as an ISO code such as fi; without one none is named.",
        group=ABOUT,
    )

    def __post_init__(self) -> None:
        texts_to_tuples(self, "language")
        check(self, self._misspelt)

    def _misspelt(self) -> list[str]:
        found = []
        if self.license is not None and not _LICENSE.fullmatch(self.license):
            found.append(
                f"license is {quoted(self.license)}; expected the hub's abbreviation, such as mit, apache-2.0, "
                "cc-by-sa-4.0 or other."
            )
        if strange := [code for code in self.language if not _LANGUAGE.fullmatch(code)]:
            found.append(f"language is {quoted(strange[0])}; expected an ISO code of two or three letters, such as fi.")
        return found

    def stored_as(self, format: str) -> str:  # noqa: A002 - as in the API
        """How weights are stored in one of the formats.

        Raises:
            SettingsError: it does not have the kind that was asked for.
        """
        kinds = _KINDS[format]
        if self.kind is not None and self.kind not in kinds:
            raise SettingsError(f"kind is {self.kind!r}, which {format} does not have; expected {' or '.join(kinds)}.")
        return self.kind or kinds[0]
