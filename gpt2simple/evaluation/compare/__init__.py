"""Several models on the same text: one table, one figure, one page."""

from gpt2simple.evaluation.compare.figure import draw_comparison
from gpt2simple.evaluation.compare.page import comparison_page
from gpt2simple.evaluation.compare.rows import CompareResult, CompareRow

__all__ = ["CompareResult", "CompareRow", "comparison_page", "draw_comparison"]
