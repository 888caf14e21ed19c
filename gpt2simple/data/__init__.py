"""From any text to training windows: sources, documents, encoded ids on disk, a held-out part, seeded windows.

Knows neither models nor training; TensorFlow enters only where the user's own source is made of it.
"""
