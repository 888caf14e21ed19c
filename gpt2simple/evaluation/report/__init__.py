"""A run, or several, on one page: what was gathered, how it is drawn, how it is laid out."""

from gpt2simple.evaluation.report.gather import RunReport, gather
from gpt2simple.evaluation.report.page import page

__all__ = ["RunReport", "gather", "page"]
