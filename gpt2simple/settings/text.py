"""How a text is read: encoding, columns, the held-out share."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, paths_to_text, setting


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How the text is read."""

    encoding: str = setting("utf-8", "Character encoding of text files; a byte-order mark overrides it.")
    column: str | int | None = setting(None, "Column (name or number from 0), JSON key or feature that holds the text.")
    template: str | None = setting(None, 'Text made from several columns or keys, such as "{title}\\n{body}".')
    header: bool | None = setting(None, "Whether a CSV or TSV file starts with column names; None looks at the file.")
    validation_split: float = setting(
        0.1,
        "Share of the text held out to measure what was learned, 0 to 0.5; 0 holds nothing out.",
        minimum=0.0,
        maximum=0.5,
    )
    validation_file: str | None = setting(None, "A text of your own to hold out instead of a share of the dataset.")
    cache_dir: str | None = setting(None, "Folder of encoded texts; None: the user's cache folder.")

    def __post_init__(self) -> None:
        paths_to_text(self, "validation_file", "cache_dir")
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        if self.column is not None and self.template is not None:
            return ["column and template were both given; give the one that makes the text."]
        return []
