"""What a model knows of a text: strided scoring, memorised passages, a verdict on a run, reports, models side by side.

Knows nothing of how a model is trained or of what a user typed.
"""
