"""Measuring models: loss with a sliding window, token scores, memorisation, a run's verdict, reports, comparisons.

Knows nothing of how a model is trained or of what a user typed.
"""
