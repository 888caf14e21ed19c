"""Everything that watches a training run: progress lines, metric files, the picture, samples, TensorBoard.

Each watcher is an `Observer` (`gpt2simple.records`): it receives plain records and never touches the model. None of
them is needed for training, so `ObserverGroup` drops one that fails instead of stopping the run. `metrics.read` and
`samples.read` give later reports what was recorded. Only the module `tensorboard` and the callbacks of `keras_adapter`
load TensorFlow; nothing here knows how a run is trained.
"""
