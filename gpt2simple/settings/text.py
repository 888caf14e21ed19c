"""How a text is read: encoding, columns, what is held out."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, only, setting


@dataclass(frozen=True, kw_only=True)
class TextSettings:
    """How the text is read."""

    encoding: str = setting("utf-8", "Character encoding of text files; a byte-order mark takes precedence.")
    column: str | int | None = setting(None, "Column (name, or index from 0), JSON key or feature that holds the text.")
    template: str | None = setting(None, 'Text built from several columns or keys, such as "{title}\\n{body}".')
    header: bool | None = setting(None, "Whether a CSV or TSV file begins with column names; None: detected.")
    validation_split: float = setting(
        0.1, "Fraction of the text held out for evaluation, at most 0.5; 0: nothing.", minimum=0.0, maximum=0.5
    )
    validation_file: str | None = setting(
        None, "A text of your own to hold out instead of a fraction of the dataset.", path=True
    )
    cache_dir: str | None = setting(None, "Folder of encoded texts; None: the user's cache folder.", path=True)

    def __post_init__(self) -> None:
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        if self.column is not None and self.template is not None:
            return ["column and template were both given; give one of the two."]
        return []


# What a function takes that reads a text and holds nothing out, without the cache of encoded texts and with it.
READING = only(TextSettings, "encoding", "column", "template", "header")
ENCODED = only(TextSettings, "encoding", "column", "template", "header", "cache_dir")
