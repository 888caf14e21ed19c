"""Pages that are files of the repository, and links that lead out of this folder.

README.md and CONTRIBUTING.md are pages here too, though they lie above: `readme.md` and `contributing.md` stand for
them. A link is written as a repository browser follows it, and becomes here one to the page; one to another file of the
repository offers that file; a folder is named. A link to what does not exist stays as it is, and MyST reports it.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[1]  # docs
ROOT = HERE.parent
STANDS_FOR = {"readme": "README.md", "contributing": "CONTRIBUTING.md"}  # pages, and the files of the repository
_FENCED = re.compile(r"(^ *```.*?^ *```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\[\]]*)\]\(([^()\s:#]+)(#[^()\s]*)?\)")


def page_text(docname: str, source: str) -> str:
    """The Markdown of a page, with its links as this site has them.

    Args:
        source: of the page's file.
    """
    name = STANDS_FOR.get(docname)
    folder = HERE if name is None else ROOT
    text = source if name is None else (ROOT / name).read_text(encoding="utf-8")
    parts = _FENCED.split(text)  # code at the odd places
    parts[::2] = [_LINK.sub(lambda match: _link(match, folder), part) for part in parts[::2]]
    return "".join(parts)


def _link(match: re.Match[str], folder: Path) -> str:
    words, path, anchor = match[1], (folder / match[2]).resolve(), match[3] or ""
    pages = {ROOT / name: f"{page}.md" for page, name in STANDS_FOR.items()}
    if path in pages:
        return f"[{words}]({pages[path]}{anchor})"
    if path.is_dir() and path.is_relative_to(ROOT):
        shown = f"`{path.relative_to(ROOT).as_posix()}/`"
        return shown if words == shown.strip("`").rstrip("/") else f"{words} ({shown})"
    return f"[{words}]({Path(os.path.relpath(path, HERE)).as_posix()}{anchor})" if path.exists() else match[0]


def _read(_app: Any, docname: str, content: list[str]) -> None:
    content[0] = page_text(docname, content[0])


def setup(app: Any) -> dict[str, bool]:
    from pygments.lexers.special import TextLexer

    app.connect("source-read", _read, priority=600)  # after the commands are in their page
    app.add_lexer("tree", TextLexer)  # the file tree of architecture.md
    return {"parallel_read_safe": True, "parallel_write_safe": True}
