"""What TensorFlow computes on, in which precision, and how fast: chosen once, with the reason. Knows no model."""
