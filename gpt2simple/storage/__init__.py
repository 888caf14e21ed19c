"""Files and folders that are whole or absent, digests, free space, and locks between processes.

Knows nothing of what the files mean. Standard library and filelock only.
"""

from gpt2simple.storage.digests import HashingWriter, sha256_of
from gpt2simple.storage.faults import make_folder, storage_errors
from gpt2simple.storage.files import (
    atomic_file,
    atomic_folder,
    atomic_write,
    link_or_copy,
    move_into_place,
    remove_folder,
    rename_folder,
)
from gpt2simple.storage.growing import GrowingFile
from gpt2simple.storage.locks import locked
from gpt2simple.storage.space import readable_size, require_space
from gpt2simple.storage.temporary import remove_leftovers

__all__ = [
    "GrowingFile",
    "HashingWriter",
    "atomic_file",
    "atomic_folder",
    "atomic_write",
    "link_or_copy",
    "locked",
    "make_folder",
    "move_into_place",
    "readable_size",
    "remove_folder",
    "remove_leftovers",
    "rename_folder",
    "require_space",
    "sha256_of",
    "storage_errors",
]
