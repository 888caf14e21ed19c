"""Simple models beside a classifier, trained on the same texts and tested on the same ones.

A large model that is no better than counting words was not worth its training. The counting one takes seconds.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gpt2simple.evaluation.classification.scores import Scores, checked, require_scikit_learn, require_texts
from gpt2simple.evaluation.intervals import Interval

MAJORITY, BAG_OF_WORDS, CONTROL = "majority class", "bag of words", "random weights"
_WORD = r"(?u)\b\w+\b"  # scikit-learn's own pattern leaves out words of one letter, such as "I" and "5"
_MOST_ITERATIONS, _FEWEST_ITERATIONS = 1000, 50
_MOST_WEIGHTS = 10_000_000  # classes times words: the solver needs memory for 25 times as many, here 2 GB
_MOST_PRODUCTS = 50_000_000_000  # of all iterations; minutes


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """How well a simple model classifies the texts.

    Attributes:
        name: "majority class", "bag of words", "random weights" or a caller's.
        accuracy: share of the texts, 0 to 1. interval: where it lies with 95 % confidence.
        f1: mean over the classes. log_loss: nats per text. train_texts: how many it learned from.
        predictions: its class for each text, for paired comparisons; not in JSON.
        note: what does not fit into figures: a baseline that had to be left out, and why; "": nothing.
    """

    name: str
    accuracy: float
    interval: Interval
    f1: float
    log_loss: float
    train_texts: int
    predictions: tuple[int, ...] = field(default=(), repr=False)
    note: str = ""


def baselines(
    train_texts: Sequence[str], train_labels: Sequence[int], texts: Sequence[str], labels: Sequence[int],
    names: Sequence[str],
) -> tuple[Baseline, ...]:  # fmt: skip
    """The majority class and a bag of words, trained on some texts and tested on others.

    The majority class gives each class the probability that it has among the training texts. The bag of words is
    logistic regression on the TF-IDF weights of words and pairs of words. One that cannot be trained is left out, and
    the note of the other says why; without training texts there is none.

    Args:
        train_labels, labels: the class of each text, an index into ``names``.

    Raises:
        BackendError: scikit-learn is missing.
        DataError: there is no text to test on, or only one class.
    """
    require_scikit_learn()
    given, truth = np.asarray(train_labels, np.int64), np.asarray(labels, np.int64)  # [train texts], [texts]
    require_texts(len(truth), len(names))
    if len(given) == 0:
        return ()
    words, note = _bag_of_words(train_texts, given, texts, len(names))
    majority = _measured(
        MAJORITY, _majority(given, len(texts), len(names)), truth, len(given), note if words is None else ""
    )
    return (majority,) if words is None else (majority, _measured(BAG_OF_WORDS, words, truth, len(given), note))


def control(probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str], *, train_texts: int = 0) -> Baseline:
    """The baseline "random weights": the same model without what it had learned before.

    Args:
        probabilities: float [texts, classes]. labels: int [texts]. train_texts: how many it learned from.

    Raises:
        As ``classification_result`` does.
    """
    require_scikit_learn()
    return _measured(CONTROL, *checked(probabilities, labels, len(names)), train_texts, "")


def _measured(name: str, probabilities: np.ndarray, labels: np.ndarray, train_texts: int, note: str) -> Baseline:
    """The baseline of probabilities [texts, classes] and labels [texts]."""
    scores = Scores.of(*checked(probabilities, labels, probabilities.shape[1]))
    return Baseline(
        name=name,
        accuracy=scores.accuracy,
        interval=scores.interval,
        f1=scores.f1,
        log_loss=scores.log_loss,
        train_texts=train_texts,
        predictions=tuple(scores.predicted.tolist()),
        note=note,
    )


def _majority(given: np.ndarray, count: int, classes: int) -> np.ndarray:
    """The probabilities of so many texts, [count, classes], from the labels of the training texts."""
    from sklearn.dummy import DummyClassifier  # an extra, which most users lack

    # "prior" names the same class as "most_frequent"; that one's probabilities are 0 and 1, and its log loss is
    # wherever the logarithm of 0 is cut off.
    model = DummyClassifier(strategy="prior").fit(np.zeros((len(given), 1)), given)
    return _by_class(model, np.zeros((count, 1)), classes)


def _bag_of_words(
    train_texts: Sequence[str], given: np.ndarray, texts: Sequence[str], classes: int
) -> tuple[np.ndarray | None, str]:
    """The probabilities [texts, classes], or None, and a note."""
    from sklearn.exceptions import ConvergenceWarning  # an extra, which most users lack
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    learned = len(set(given.tolist()))
    if learned < 2:
        return None, "There is no bag of words to compare with: the training texts are all of one class."
    most_words = _MOST_WEIGHTS // learned
    weights = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD, max_features=most_words)
    try:
        features = weights.fit_transform(train_texts)  # sparse [train texts, words and pairs]
    except ValueError:  # "empty vocabulary"
        return None, "There is no bag of words to compare with: the training texts hold no word."
    most = _MOST_PRODUCTS // (learned * (features.nnz + len(train_texts)))
    most = min(max(most, _FEWEST_ITERATIONS), _MOST_ITERATIONS)
    model = LogisticRegression(C=10, max_iter=most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the note says it
        model.fit(features, given)
    limits = []
    if features.shape[1] >= most_words:
        limits.append(f"knows only the {most_words:,} most frequent words and pairs of words")
    if int(np.max(model.n_iter_)) >= most:
        limits.append(f"was stopped after {most:,} iterations")
    note = f"The bag of words {' and '.join(limits)}; it may be better than this." if limits else ""
    return _by_class(model, weights.transform(texts), classes), note


def _by_class(model: Any, features: Any, classes: int) -> np.ndarray:
    """A model's probabilities [texts, classes]; 0 for the classes that it never saw."""
    found = np.zeros((features.shape[0], classes))
    found[:, model.classes_] = model.predict_proba(features)
    return found
