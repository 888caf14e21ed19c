"""Text from a model: cached decode steps, a sampling chain, batches of rows, stop rules, one stream of chunks."""
