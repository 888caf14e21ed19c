"""Whose process this is: a command's, or that of a program that uses this package."""

is_a_command = False  # set by the command line
