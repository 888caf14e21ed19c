"""``gpt2simple`` and ``python -m gpt2simple``."""

from __future__ import annotations

import atexit
import os
import sys


def main() -> None:
    """Run the command line of this process and exit."""
    _fill_closed_descriptors()
    try:
        from gpt2simple.cli.group import run
    except ModuleNotFoundError as error:
        if error.name != "click":
            raise
        sys.exit("Error: the command line needs click, which is not installed. Run `pip install click`.")
    except KeyboardInterrupt:  # later ones meet `ErrorsInOneLine`
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    try:
        run()
    except SystemExit as ending:
        if "tensorflow" in sys.modules and isinstance(ending.code, int):
            _end_now(ending.code)
        raise


def _end_now(code: int) -> None:
    """End the process after everything that was to be done at its end, without taking TensorFlow apart.

    That would take the better part of a second, and the system frees the memory anyway.
    """
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except (OSError, ValueError):  # Python says what it makes of that
        return
    atexit._run_exitfuncs()
    os._exit(code)


def _fill_closed_descriptors() -> None:
    """Give numbers 0 to 2 to the null device where nothing is open under them.

    A file that is opened later would get the number, and what TensorFlow logs to number 2 would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


if __name__ == "__main__":
    main()
