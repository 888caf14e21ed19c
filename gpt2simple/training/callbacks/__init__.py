"""Everything that watches a training run: progress lines, the picture, TensorBoard, the user's Keras callbacks.

Each watcher is an `Observer` (`gpt2simple.runs.records`): it receives plain records and never touches the model. None
of them is needed for training, so `ObserverGroup` drops one that fails instead of stopping the run.
"""
