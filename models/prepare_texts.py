"""Make the plain texts that the built-in model is trained on.

    python models/prepare_texts.py FOLDER OUTPUT

FOLDER holds genesis.zip, inaugural.zip, state_union.zip and shakespeare.zip as https://github.com/nltk/nltk_data
publishes them (packages/corpora), or the folders they unpack to, and classics.zip, plain texts of Project Gutenberg
without its headers and footers (models/README.md names them). OUTPUT/train and OUTPUT/held_out get UTF-8 files of at
most some 30 kB. Texts that the model is judged on are left out: Hamlet, four books, and Romeo and Juliet, since nearly
all of it stands in tiny Shakespeare. Files whose digest differs from the table below are refused, so that the model can
be made again from exactly the same texts.

The texts are balanced: of a long book only evenly spaced parts are taken, so that a few novels do not drown the rest,
and plays, speeches and Genesis are repeated.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
import xml.etree.ElementTree as ElementTree
import zipfile
from collections.abc import Iterator
from pathlib import Path

# sha256 of all chosen files of a corpus: their names and contents, in order of their names.
DIGESTS = {
    "genesis": "ac5fb54618563b71f5d9817643aa7b32e276c2b16ed661170ec2696a69fb42e8",
    "inaugural": "924ece43be16d8ec2c1aa9c0aaff569b39e8f29ca8914091592ac29c03f99f22",
    "state_union": "873ff3c79289665e7088763618b2e249aa78b3df0586f89ded6aa982ca11a868",
    "shakespeare": "73731919ea3d30b0acc6fa75146ad76def4cb04666fe44a0b173df02d155df6e",
    "classics": "4c185fc048be16f0fcd381073f1da97818f094db30442012aebda1fd1f715051",
}
CHOSEN = {
    "genesis": re.compile(r"english-.*\.txt"),
    "inaugural": re.compile(r"\d{4}-.*\.txt"),
    "state_union": re.compile(r"\d{4}-.*\.txt"),
    "shakespeare": re.compile(r"(?!hamlet|r_and_j)\w+\.xml"),
    "classics": re.compile(r"(?!study_in_scarlet|cranford|frederick_douglass|time_machine)[\w-]+\.txt"),
}
# How often each text of a corpus stands among the texts to train on.
COPIES = {"genesis": 2, "inaugural": 2, "state_union": 2, "shakespeare": 3, "classics": 1}
PART = 30_000  # characters
MOST_PARTS = 24  # of one book: 720 kB
HELD_OUT = 60  # one part in so many
# These files are neither ASCII nor UTF-8: somebody saved them on a Chinese system, and one on a Western one.
ENCODINGS = {
    "2005-Bush.txt": "big5",
    "1954-Eisenhower.txt": "latin-1",
    **{f"{year}-Nixon.txt": "big5" for year in range(1970, 1975)},
}
# Typographic signs that stand in a few of the files only; the others use the ASCII ones.
PLAIN = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "—": "--", "–": "-", "…": "...", "\u3000": " "})


def main() -> None:
    """Read the arguments, write the files, say what was written."""
    parser = argparse.ArgumentParser(description="Make the texts that the built-in model is trained on.")
    parser.add_argument("folder", type=Path, help="where genesis.zip, inaugural.zip, ... or their folders lie")
    parser.add_argument("output", type=Path, help="folder for the plain texts; made if missing")
    arguments = parser.parse_args()
    size = dict.fromkeys(("train", "held_out"), 0)
    for part in size:
        (arguments.output / part).mkdir(parents=True, exist_ok=True)
    count = 0
    for corpus in CHOSEN:
        files = read_corpus(arguments.folder, corpus)
        check_digest(corpus, files)
        for name, text in documents(corpus, files):
            for number, piece in enumerate(chosen_parts(text)):
                part = "train" if count % HELD_OUT else "held_out"
                for copy in range(COPIES[corpus] if part == "train" else 1):
                    path = arguments.output / part / f"{corpus}-{name}-{number:02}-{copy}.txt"
                    path.write_text(piece, encoding="utf-8", newline="\n")
                    size[part] += len(piece.encode())
                count += 1
    print(", ".join(f"{part}: {total:,} bytes" for part, total in size.items()), file=sys.stderr)


def chosen_parts(text: str) -> list[str]:
    """The text cut at ends of paragraphs; of a long one, as many parts at even distances as a text may have."""
    parts = [""]
    for paragraph in re.split(r"(?<=\n\n)", text):
        if len(parts[-1]) + len(paragraph) > PART and parts[-1]:
            parts.append("")
        parts[-1] += paragraph
    if len(parts) > MOST_PARTS:
        parts = [parts[i * len(parts) // MOST_PARTS] for i in range(MOST_PARTS)]
    return [part.strip("\n") + "\n" for part in parts if part.strip()]


def read_corpus(folder: Path, corpus: str) -> dict[str, bytes]:
    """The chosen files of one corpus by name, in order, from its zip file or its folder."""
    chosen = CHOSEN[corpus]
    archive = folder / f"{corpus}.zip"
    if archive.is_file():
        with zipfile.ZipFile(archive) as opened:
            names = [name for name in opened.namelist() if chosen.fullmatch(Path(name).name)]
            found = {Path(name).name: opened.read(name) for name in names}
    else:
        found = {path.name: path.read_bytes() for path in (folder / corpus).glob("*") if chosen.fullmatch(path.name)}
    if not found:
        sys.exit(f"{folder} holds neither {corpus}.zip nor a folder {corpus} with its texts.")
    return dict(sorted(found.items()))


def check_digest(corpus: str, files: dict[str, bytes]) -> None:
    """Exit unless the files are those that the table names."""
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    if digest.hexdigest() != DIGESTS[corpus]:
        sys.exit(
            f"The texts of {corpus} have the digest {digest.hexdigest()}, expected {DIGESTS[corpus]}. "
            "Get them anew from nltk_data."
        )


def documents(corpus: str, files: dict[str, bytes]) -> Iterator[tuple[str, str]]:
    """Name and clean text of each document."""
    for name, content in files.items():
        if corpus == "shakespeare":
            text = script(ElementTree.fromstring(content))
        else:
            text = content.decode(ENCODINGS.get(name, "utf-8"))
        # Books keep their own quotation marks and indents: the texts of users have both kinds too.
        yield Path(name).stem, text.replace("\r\n", "\n") if corpus == "classics" else clean(text)


def clean(text: str) -> str:
    """Text with plain signs, no blanks at line ends, at most one empty line in a row, and one line end at its end."""
    lines = [line.strip() for line in text.translate(PLAIN).replace("\r\n", "\n").split("\n")]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip() + "\n"


def script(play: ElementTree.Element) -> str:
    """A play as a script: headings, stage directions in brackets, each speech under its speaker's name."""
    blocks = [_words(play.find("TITLE"))]
    for part in play.iter():
        if part.tag in ("ACT", "SCENE", "PROLOGUE", "EPILOGUE", "INDUCTION"):
            blocks.append(_words(part.find("TITLE")))
            blocks += [block for child in part if (block := _block(child))]
    return "\n\n".join(blocks)


def _block(element: ElementTree.Element) -> str:
    if element.tag == "STAGEDIR":
        return f"[{_words(element)}]"
    if element.tag == "SUBHEAD":
        return _words(element)
    if element.tag != "SPEECH":
        return ""
    speakers = " and ".join(_words(speaker) for speaker in element.findall("SPEAKER") if _words(speaker))
    lines = [f"[{_words(e)}]" if e.tag == "STAGEDIR" else _words(e) for e in element if e.tag != "SPEAKER"]
    return "\n".join([f"{speakers}:", *(line for line in lines if line and line != "[]")])


def _words(element: ElementTree.Element | None) -> str:
    """All text inside an element on one line, a stage direction within a line in brackets."""
    if element is None:
        return ""
    parts = [element.text or ""]
    for child in element:
        parts.append(f"[{_words(child)}] " if child.tag == "STAGEDIR" else _words(child))
        parts.append(child.tail or "")
    return " ".join("".join(parts).split())


if __name__ == "__main__":
    main()
