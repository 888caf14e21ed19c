"""What follows a training run: progress lines, the picture, TensorBoard, the user's Keras callbacks.

A `TrainingCallback` (`gpt2simple.runs.records`) is no Keras callback: it receives plain records and never touches the
model. None of them is needed for training, so `CallbackGroup` drops one that fails instead of stopping the run. The
user's own Keras callbacks are adapted in `keras` and run in the training loop.
"""
