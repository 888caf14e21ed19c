"""The model card of a run: a README.md for Hugging Face's hub, of facts that the run's own files hold.

Texts never appear on it: neither of the training data nor samples, nor names of the user's files.
"""
