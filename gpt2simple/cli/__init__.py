"""The command line: click options made from the settings, one API call for each command.

Knows nothing that an API call does not offer. Importing it loads no TensorFlow: a command looks its call up when it
runs.
"""

from gpt2simple.cli.group import cli

__all__ = ["cli"]
