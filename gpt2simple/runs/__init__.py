"""A run folder: checkpoints that cannot be torn, best and latest, what its root holds, and where a call starts.

Takes and gives NumPy arrays by name and loads no TensorFlow; knows nothing of what the tensors mean.
"""
