"""How well texts are classified: figures with intervals, simple models to compare with, a figure and a page.

Knows probabilities and labels, not the model that gave them. scikit-learn, an extra, is imported when it is used.
"""
