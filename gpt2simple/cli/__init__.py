"""The command line: click options made from the settings, one API call for each command.

It offers nothing that an API call does not. Importing it loads no TensorFlow: a command imports its call when it runs.
"""

from gpt2simple.cli.group import cli

__all__ = ["cli"]
