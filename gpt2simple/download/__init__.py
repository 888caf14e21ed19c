"""Fetching a published model into a folder: resume, retry, verify, one process at a time.

Knows HTTP and which files make a folder complete; knows no TensorFlow and not what the files mean.
"""

from gpt2simple.download.models import download_gpt2, is_gpt2_downloaded

__all__ = ["download_gpt2", "is_gpt2_downloaded"]
