"""How good outputs are beside their references: figures with intervals, copies of training text, a figure and a page.

An output is what a model wrote for a prompt, a reference what would have been right. Knows texts alone, not how they
were written. sacrebleu and rouge-score, an extra, are imported when they are used.
"""
