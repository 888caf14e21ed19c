"""Callbacks of a training run: progress, loss plot, TensorBoard, and the user's Keras callbacks.

A `TrainingCallback` (`gpt2simple.runs.records`) is not a Keras callback: it receives plain records and never touches
the model. Training does not depend on any of them, so `CallbackGroup` drops one that fails instead of stopping the run.
The user's Keras callbacks are adapted in `keras` and run in the training loop.
"""
