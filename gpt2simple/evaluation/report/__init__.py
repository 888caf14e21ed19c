"""Pages: a report on runs, and a comparison of models."""
