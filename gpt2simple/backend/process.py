"""Whose process this is: that of the `gpt2simple` command, or of a program that uses this package."""

is_a_command = False  # set where that command starts
