"""The results of evaluating a model on a text: metrics with a summary, a JSON form and a table for notebooks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gpt2simple.evaluation.html import shown_in_notebook
from gpt2simple.evaluation.measure import Measurement, Tally

_DOCUMENTS_SHOWN = 20
_DOCUMENT_HEADS = ("document", "tokens", "nats/token", "perplexity", "bits per byte", "accuracy")


@dataclass(frozen=True, kw_only=True)
class TextMetrics:
    """A model's metrics on some text.

    Attributes:
        loss: nats per token. perplexity: e to the loss. bits_per_byte: comparable between tokenizers.
        accuracy: share of tokens to which the model gave the highest probability, 0 to 1.
        tokens: how many were predicted. bytes: of text that they encode.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    accuracy: float
    tokens: int
    bytes: int

    @classmethod
    def of(cls, tally: Tally) -> TextMetrics:
        return cls(**tally.figures.scalars(), accuracy=tally.accuracy, tokens=tally.targets, bytes=tally.target_bytes)

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TextMetrics.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(TextMetrics):
    """How well a model predicts a text.

    Attributes:
        model: its description. text: its description.
        standard_error: of the loss, nats per token, from the variation between windows; None: there was only one.
        protocol: how the text was cut into windows, a sentence. precision: dtype name of the matrix products.
        documents: the metrics of each document, in order; empty unless requested.
        seconds: how long it took.
        windows: nats and number of predicted tokens of each window; not in the JSON form.
    """

    model: str
    text: str
    standard_error: float | None
    protocol: str
    precision: str
    documents: tuple[TextMetrics, ...]
    seconds: float
    windows: tuple[tuple[float, int], ...] = field(default=(), repr=False)

    @classmethod
    def from_measurement(cls, found: Measurement, **about: Any) -> EvaluateResult:
        """The result of a measurement; ``about`` gives the other fields."""
        return cls(
            **TextMetrics.of(found.total).to_json(),
            standard_error=found.standard_error,
            documents=tuple(TextMetrics.of(tally) for tally in found.documents),
            windows=tuple(found.windows),
            **about,
        )

    def summary(self) -> str:
        """The metrics in a few lines."""
        lines = [f"{self.model} on {self.text}: {self.tokens:,} tokens, {self.bytes:,} bytes"]
        lines += [f"  {name:<15} {value}" for name, value in self._rows()]
        lines.append(f"Protocol: {self.protocol}; matrix products in {self.precision}.")
        if self.documents:
            table = [_DOCUMENT_HEADS, *self._document_rows()]
            lines += ["", *("  ".join(cell.rjust(13) for cell in row) for row in table)]
        return "\n".join([*lines, self._more_documents()]).rstrip()

    def to_json(self) -> dict[str, Any]:
        """The metrics as JSON values."""
        values = {name: getattr(self, name) for name in EvaluateResult.__dataclass_fields__}
        del values["windows"]
        return {**values, "documents": [document.to_json() for document in self.documents]}

    def _rows(self) -> list[tuple[str, str]]:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.4f}"
        spread = "" if self.standard_error is None else f" ± {self.perplexity * self.standard_error:.3g}"
        return [
            ("loss", f"{self.loss:.4f}{error} nats/token"),
            ("perplexity", f"{self.perplexity:.5g}{spread}"),
            ("bits per byte", f"{self.bits_per_byte:.4f}"),
            ("accuracy", f"{self.accuracy:.1%} of tokens"),
        ]

    def _document_rows(self) -> list[tuple[str, ...]]:
        row = "{0}|{1.tokens:,}|{1.loss:.4f}|{1.perplexity:.5g}|{1.bits_per_byte:.4f}|{1.accuracy:.1%}"
        shown = enumerate(self.documents[:_DOCUMENTS_SHOWN], start=1)
        return [tuple(row.format(number, document).split("|")) for number, document in shown]

    def _more_documents(self) -> str:
        more = len(self.documents) - _DOCUMENTS_SHOWN
        text = f"{more:,} more documents are not shown; --json shows all, and result.documents has them."
        return text if more > 0 else ""

    def _repr_html_(self) -> str:
        about = f"{self.model} on {self.text}: {self.tokens:,} tokens. Protocol: {self.protocol}."
        tables: list[dict[str, Any]] = [{"heads": (), "rows": self._rows(), "caption": about}]
        if self.documents:
            tables.append({"heads": _DOCUMENT_HEADS, "rows": self._document_rows()})
        return shown_in_notebook(tables, after=[self._more_documents()])
