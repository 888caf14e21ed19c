"""A run, or several, on one page: what was gathered, how it is drawn, how it is laid out."""
