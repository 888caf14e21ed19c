"""Fetching a published model into a folder: resume, retry, verify, one process at a time.

Knows HTTP and which files make a folder complete; knows no TensorFlow and not what the files mean.
"""
