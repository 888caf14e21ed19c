"""A text to begin with, written beside the notebook."""

import base64
import bz2

# "The Last House on the Pier", a comedy written for these examples; compressed, so that no other file is needed.
PLAY = ""
Path("play.txt").write_bytes(bz2.decompress(base64.b85decode(PLAY)))
