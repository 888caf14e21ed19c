"""One module for each kind of file or source: bytes in, documents out."""
