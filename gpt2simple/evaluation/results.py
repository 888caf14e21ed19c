"""What measuring a model on a text gives back: small records with a summary, a JSON form and a table in notebooks."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

from gpt2simple.evaluation.measure import Measurement, Tally

_DOCUMENTS_SHOWN = 20

_DOCUMENT_HEADS = ("document", "tokens", "nats/token", "perplexity", "bits per byte", "accuracy")


@dataclass(frozen=True, kw_only=True)
class TextFigures:
    """A model's figures on some text.

    Attributes:
        loss: nats per token. perplexity: e to the loss. bits_per_byte: comparable between tokenizers.
        accuracy: share of tokens that the model held likeliest, 0 to 1.
        tokens: how many were predicted. bytes: of text that they spell.
    """

    loss: float
    perplexity: float
    bits_per_byte: float
    accuracy: float
    tokens: int
    bytes: int

    @classmethod
    def of(cls, tally: Tally) -> TextFigures:
        return cls(
            loss=tally.loss,
            perplexity=tally.perplexity,
            bits_per_byte=tally.bits_per_byte,
            accuracy=tally.accuracy,
            tokens=tally.targets,
            bytes=tally.target_bytes,
        )

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in TextFigures.__dataclass_fields__}


@dataclass(frozen=True, kw_only=True)
class EvaluateResult(TextFigures):
    """How well a model predicts a text.

    Attributes:
        model: what was measured, in words. text: on what, in words.
        standard_error: of the loss, nats per token, from the spread between windows; None: there was but one window.
        protocol: how the text was cut into windows, in words. precision: dtype name of the products.
        documents: the figures of each document, in order; empty where they were not asked for.
        seconds: that it took.
    """

    model: str
    text: str
    standard_error: float | None
    protocol: str
    precision: str
    documents: tuple[TextFigures, ...]
    seconds: float

    @classmethod
    def from_measurement(cls, found: Measurement, **about: Any) -> EvaluateResult:
        """The figures of a measurement; ``about`` takes the fields that it does not know."""
        figures = TextFigures.of(found.total).to_json()
        return cls(
            **figures,
            standard_error=found.spread.standard_error,
            documents=tuple(TextFigures.of(tally) for tally in found.documents),
            **about,
        )

    def summary(self) -> str:
        """The figures in a few lines for people."""
        lines = [f"{self.model} on {self.text}: {self.tokens:,} tokens, {self.bytes:,} bytes"]
        lines += [f"  {name:<15} {value}" for name, value in self._rows()]
        lines.append(f"Protocol: {self.protocol}; products in {self.precision}.")
        if self.documents:
            table = [_DOCUMENT_HEADS, *self._document_rows()]
            lines += ["", *("  ".join(cell.rjust(13) for cell in row) for row in table)]
        if len(self.documents) > _DOCUMENTS_SHOWN:
            lines.append(self._more_documents())
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """The figures as JSON values."""
        values = {name: getattr(self, name) for name in EvaluateResult.__dataclass_fields__}
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
        shown = enumerate(self.documents[:_DOCUMENTS_SHOWN], start=1)
        return [
            (
                f"{n}",
                f"{d.tokens:,}",
                f"{d.loss:.4f}",
                f"{d.perplexity:.5g}",
                f"{d.bits_per_byte:.4f}",
                f"{d.accuracy:.1%}",
            )
            for n, d in shown
        ]

    def _more_documents(self) -> str:
        more = len(self.documents) - _DOCUMENTS_SHOWN
        return f"{more:,} more documents are not shown; --json shows all, and result.documents has them."

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><th>{name}</th><td>{html.escape(value)}</td></tr>" for name, value in self._rows())
        about = f"{self.model} on {self.text}: {self.tokens:,} tokens. Protocol: {self.protocol}."
        return f"<table><caption>{html.escape(about)}</caption>{rows}</table>{self._documents_html()}"

    def _documents_html(self) -> str:
        if not self.documents:
            return ""
        head = "".join(f"<th>{name}</th>" for name in _DOCUMENT_HEADS)
        rows = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in self._document_rows())
        more = f"<p>{self._more_documents()}</p>" if len(self.documents) > _DOCUMENTS_SHOWN else ""
        return f"<table><tr>{head}</tr>{rows}</table>{more}"
