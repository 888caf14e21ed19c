"""How a text is read: encoding, columns, what is held out."""

from __future__ import annotations

from dataclasses import dataclass

from gpt2simple.settings.fields import check, only, setting

TEXT = "The text"  # a group of settings
_WITHOUT_COLUMNS = ("text", "lines")  # formats


@dataclass(frozen=True, kw_only=True)
class ReadingSettings:
    """How a source is read, whatever its texts are for."""

    format: str | None = setting(
        None,
        "How every file is read: text (a document per file), lines (a document per line), csv, tsv, jsonl or json; "
        "None: by its name.",
        choices=(*_WITHOUT_COLUMNS, "csv", "tsv", "jsonl", "json"),
        group=TEXT,
    )
    encoding: str = setting(
        "utf-8", "Character encoding of text files; a byte-order mark takes precedence.", group=TEXT
    )
    column: str | int | None = setting(
        None,
        "Column (name or index from 0), JSON key or feature with the text; a name such as messages.content leads into "
        "lists and objects.",
        group=TEXT,
        common=True,
    )
    template: str | None = setting(
        None, 'Text built from several columns or keys, such as "{title}\\n{body}".', group=TEXT
    )
    header: bool | None = setting(
        None, "Whether a CSV or TSV file begins with column names; None: detected.", group=TEXT
    )
    delimiter: str | None = setting(
        None, 'Character between the columns of a CSV or TSV file, such as ";" or "\\t"; None: detected.', group=TEXT
    )

    def __post_init__(self) -> None:
        if isinstance(self.delimiter, str) and self.delimiter == "\\t":  # as a command line passes a tab on
            object.__setattr__(self, "delimiter", "\t")  # frozen: for everybody but itself
        check(self, self._contradictions)

    def _contradictions(self) -> list[str]:
        found = []
        if self.column is not None and self.template is not None:
            found.append("column and template were both given; give one of the two.")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            found.append(f"delimiter is {self.delimiter!r}; expected one character, such as ';' or a tab.")
        if self.format in _WITHOUT_COLUMNS:
            for name in ("column", "template", "header", "delimiter"):
                if getattr(self, name) is not None:
                    found.append(f"{name} was given, and format={self.format!r} has no columns; give one of the two.")
        return found


@dataclass(frozen=True, kw_only=True)
class TextSettings(ReadingSettings):
    """How the text is read."""

    validation_split: float = setting(
        0.1,
        "Fraction of the text held out for evaluation; at most 0.5, 0: nothing.",
        minimum=0.0,
        maximum=0.5,
        group=TEXT,
        common=True,
    )
    validation_file: str | None = setting(
        None, "A text of your own to hold out instead of a fraction of the dataset.", path=True, group=TEXT
    )
    cache_dir: str | None = setting(
        None, "Folder of encoded texts; None: the user's cache folder.", path=True, group=TEXT
    )


# What a function takes that reads a text and holds nothing out, without the cache of encoded texts and with it.
_DECIDE_THE_TEXT = ("format", "encoding", "column", "template", "header", "delimiter")
READING = only(TextSettings, *_DECIDE_THE_TEXT)
ENCODED = only(TextSettings, *_DECIDE_THE_TEXT, "cache_dir")


def reading_key(settings: ReadingSettings) -> list[str | int | bool | None]:
    """The settings that decide, beside its source, what a text is; equal for settings that mean the same."""
    return [getattr(settings, name) for name in _DECIDE_THE_TEXT if name != "encoding"] + [settings.encoding.lower()]
