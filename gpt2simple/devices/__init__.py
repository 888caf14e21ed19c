"""What TensorFlow computes on, in which precision, and how fast: chosen once, with the reason. Knows no model."""

from gpt2simple.devices.gpus import compiles_whole_step, device_name, has_gpu
from gpt2simple.devices.precision import PRECISIONS, Precision, choose_precision
from gpt2simple.devices.speed import product_rate
from gpt2simple.devices.starting import start, thread_counts

__all__ = [
    "PRECISIONS",
    "Precision",
    "choose_precision",
    "compiles_whole_step",
    "device_name",
    "has_gpu",
    "product_rate",
    "start",
    "thread_counts",
]
