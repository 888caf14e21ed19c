"""``gpt2simple`` and ``python -m gpt2simple``."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line of this process and exit."""
    _fill_closed_descriptors()
    try:
        from gpt2simple.cli.group import cli
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("Error: the command line needs click, which is not installed. Run `pip install click`.")
    except KeyboardInterrupt:  # later ones meet `ErrorsInOneLine`
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    cli(prog_name="gpt2simple")


def _fill_closed_descriptors() -> None:
    """Give numbers 0 to 2 to the null device where nothing is open under them.

    A file that is opened later would get the number, and what TensorFlow logs to number 2 would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    main()
