"""One training step, the loop around it, its optimizer and checkpoints: token ids in, records out.

Knows neither text nor tokenizers.
"""
