"""Measuring models: loss with a sliding window, token scores, memorisation, a run's verdict, reports, comparisons.

Independent of how a model is trained and of the user interfaces.
"""
