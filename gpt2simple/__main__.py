"""``gpt2simple`` and ``python -m gpt2simple``."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line of this process and exit."""
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


if __name__ == "__main__":
    main()
