"""The second task: the class of a text, from the last hidden state of its last token.

The head is linear and has no bias, as that of transformers' `GPT2ForSequenceClassification`. A batch has a text's class
as the target of its last token, where the loss mask is the text's weight; elsewhere the mask is 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gpt2simple.backend.tensorflow import Tensor, tf
from gpt2simple.data.batches import Batch
from gpt2simple.gpt2.config import CLASSIFIER_HEAD
from gpt2simple.gpt2.network.loss import class_logits
from gpt2simple.runs.records import ClassifierFigures
from gpt2simple.training.task import HeadGradients, Rows, Variables


class Classification:
    """One class for each text.

    All are equal: the metric matters to ``figures`` alone.

    Args:
        by_accuracy: whether the step with the highest validation accuracy is the best, and not that with the lowest
            loss.
    """

    def __init__(self, *, by_accuracy: bool) -> None:
        self._by_accuracy = by_accuracy

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self)

    def __hash__(self) -> int:
        return hash(type(self))

    def gradients(self, variables: Variables, rows: Rows, scale: Tensor, trained: frozenset[str]) -> HeadGradients:
        """Cross-entropy of the class."""
        logits = class_logits(rows.states, variables[CLASSIFIER_HEAD])  # (N, C)
        classes = tf.one_hot(rows.targets, logits.shape[-1])  # (N, C)
        nats = tf.nn.softmax_cross_entropy_with_logits(classes, logits)  # (N,)
        d_logits = (tf.nn.softmax(logits) - classes) * (rows.loss_mask * scale)[:, None]  # (N, C)
        d_states = tf.matmul(d_logits, variables[CLASSIFIER_HEAD], transpose_b=True)  # (N, E)
        d_head = tf.matmul(tf.cast(rows.states, tf.float32), d_logits, transpose_a=True)  # (E, C)
        of_head = {CLASSIFIER_HEAD: d_head} if CLASSIFIER_HEAD in trained else {}
        return HeadGradients(tf.reduce_sum(nats * rows.loss_mask), tf.cast(d_states, rows.states.dtype), of_head)

    def evaluation_sums(self, variables: Variables, rows: Rows) -> Tensor:
        """Cross-entropy in nats and number of texts that are classified correctly, float32 (2,); weights are left out.

        Of classes that are equally likely the first one counts, as in ``np.argmax``.
        """
        logits = class_logits(rows.states, variables[CLASSIFIER_HEAD])  # (N, C)
        nats = tf.nn.sparse_softmax_cross_entropy_with_logits(rows.targets, logits)  # (N,)
        is_text = tf.cast(rows.loss_mask > 0.0, tf.float32)  # (N,)
        correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == rows.targets, tf.float32)  # (N,)
        return tf.stack([tf.reduce_sum(nats * is_text), tf.reduce_sum(correct * is_text)])

    def figures(self, sums: Sequence[float], batches: Sequence[Batch]) -> ClassifierFigures:
        """Loss and accuracy."""
        return ClassifierFigures(
            class_nats=sums[0],
            correct=round(sums[1]) if math.isfinite(sums[1]) else 0,
            texts=sum(int((batch.loss_mask > 0).sum()) for batch in batches),
            by_accuracy=self._by_accuracy,
        )
