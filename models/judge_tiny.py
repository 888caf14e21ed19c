"""Measure the built-in model: bits per byte of texts it never saw, and how much of what it writes is English.

    python models/judge_tiny.py WORDS TEXT [TEXT ...] [--model FOLDER] [--first BYTES]

Of each text the first BYTES are measured, or all of it. WORDS is an English word list, one word a line (Debian's
package wamerican installs /usr/share/dict/american-english).
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import gpt2simple

SAMPLED_WORDS = 2000
# The list has few inflected and elided forms; these endings are taken off before a word is looked up a second time.
ENDINGS = re.compile(r"('s|'d|s|ed|eth|est|ing)$")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", type=Path)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--first", type=int, help="bytes of each text")
    arguments = parser.parse_args()
    known = {word.strip().lower() for word in arguments.words.read_text(encoding="utf-8").splitlines()}
    with gpt2simple.start_session(arguments.model, precision="float32", seed=1) as session:
        for path in arguments.texts:
            text = path.read_bytes()[: arguments.first].decode("utf-8", "ignore")
            print(f"{path}: {session.evaluate([text]).bits_per_byte:.3f} bits/byte")
        words = sampled_words(session)
    found = sum(word in known for word in words)
    stems = sum(word in known or ENDINGS.sub("", word) in known for word in words)
    share, share_by_stem = found / len(words), stems / len(words)
    print(f"Of {len(words)} sampled words {share:.1%} stand in the list, {share_by_stem:.1%} by stem.")


def sampled_words(session: gpt2simple.Session) -> list[str]:
    """The first words of enough samples at temperature 1 among the 40 likeliest tokens, lower-cased."""
    words: list[str] = []
    while len(words) < SAMPLED_WORDS:
        for text in session.generate(length=300, nsamples=8, temperature=1.0, top_k=40):
            text = text.lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
            words += re.findall(r"[a-z]+(?:'[a-z]+)?", text)[:-1]  # the last may be cut: a sample has a length
    return words[:SAMPLED_WORDS]


if __name__ == "__main__":
    main()
