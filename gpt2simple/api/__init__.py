"""One module per operation of the public API, and the session that they share.

This layer combines text, model, run, precision and seed; each layer below handles only its own part.
"""
