"""Whole runs of a small model through the public API, and what their last checkpoint holds."""

from gpt2simple.gpt2.config import ModelConfig
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import read_weight
from gpt2simple.runs.metrics import read as read_metrics
from gpt2simple.runs.writer import RunDirectory
from gpt2simple.testing import SMALL_CONFIG, byte_tokenizer, sample_text
from tests.helpers.network import model_of
from tests.helpers.paths import EXAMPLES

SCRIPT = EXAMPLES / "script.txt"

# Large enough to learn spelling from bytes in a minute.
BYTE_SHAPE = ModelConfig(n_vocab=257, n_ctx=64, n_embd=64, n_head=4, n_layer=4)


def write_model(folder, config=SMALL_CONFIG):
    """A folder with a random model and the byte tokenizer; its path is the model's name."""
    model = model_of(config)
    write_model_folder(folder, config, lambda name: read_weight(model, name), byte_tokenizer())
    return str(folder)


def write_text(path, sentences=100):
    path.write_text(sample_text(sentences), encoding="utf-8")
    return path


def last_state(run_dir):
    """Everything that a straight and a resumed run must agree on: bytes by name, figures, the losses of all steps."""
    latest = RunDirectory(run_dir).latest()
    assert latest is not None
    tensors = {f"weight {name}": values.tobytes() for name, values in latest.weights()}
    tensors |= {f"moment {name}": values.tobytes() for name, values in latest.optimizer()}
    progress = {name: value for name, value in latest.state["progress"].items() if name != "seconds"}
    recorded = [(r.step, r.loss, r.learning_rate, r.gradient_norm) for r in read_metrics(run_dir).steps]
    return {"step": latest.step, **tensors, **progress, **latest.state["trainer"], "recorded": recorded}


def differing(one, other):
    """The names under which two states differ."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
