"""One module for each thing that a user asks for, and the session that they work in.

Knows what belongs together: text, model, run, precision and seed. The engines below know only their own part.
"""
