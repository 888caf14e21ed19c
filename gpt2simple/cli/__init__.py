"""The command line: click options generated from the settings, and one API call per command.

Importing it does not load TensorFlow: each command imports its API call when it runs.
"""

from gpt2simple.cli.group import cli

__all__ = ["cli"]
