"""The training step, loop, optimizer and checkpoints: token ids in, records out."""
