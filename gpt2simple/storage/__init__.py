"""Files and folders that are whole or absent, digests, free space, and locks between processes.

Knows nothing of what the files mean. Standard library, filelock and psutil only.
"""
