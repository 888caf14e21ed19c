"""A run folder: checkpoints that cannot be torn, best and latest, what its root holds, and where a call starts.

Takes and gives NumPy arrays by name and loads no TensorFlow; knows nothing of what the tensors mean.
"""

from gpt2simple.runs.checkpoint import StepCheckpoint, tensor_of
from gpt2simple.runs.continuing import with_recorded
from gpt2simple.runs.decision import Start, begins_with, continues, decide_start
from gpt2simple.runs.description import RunDescription, RunInfo
from gpt2simple.runs.directory import RunDirectory
from gpt2simple.runs.layout import existing_run_path, list_runs, run_path
from gpt2simple.runs.manifest import BestMark

__all__ = [
    "BestMark",
    "RunDescription",
    "RunDirectory",
    "RunInfo",
    "Start",
    "StepCheckpoint",
    "begins_with",
    "continues",
    "decide_start",
    "existing_run_path",
    "list_runs",
    "run_path",
    "tensor_of",
    "with_recorded",
]
