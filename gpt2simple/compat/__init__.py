"""gpt-2-simple's functions, under their names and with their arguments, on top of this package.

    import gpt2simple.compat as gpt2

runs a program or notebook that was written for gpt-2-simple 0.8.1. New programs should use ``gpt2simple`` itself, whose
calls are shorter and whose defaults are better; only this module keeps the old ones:

* ``steps`` counts the steps that this call adds; 0 and -1 train until Ctrl-C.
* ``finetune`` trains on all of the text and never stops early; ``generate`` uses the latest weights.
* Five micro-batches of one window per step, Adam at a constant 1e-4: no warm-up, decay, clipping or dropout.
* ``length`` is at most one less than the model's window, the prefix included; ``top_p`` switches ``top_k`` off.
* Losses and samples are printed in the old format; messages of this package go to stderr.

What differs, on purpose:

* A run is stored in this package's layout (``step-000300/`` rather than ``model-300.*``, samples inside the run's
  folder), with Adam's moments, so that it resumes exactly. Files that gpt-2-simple wrote are read and never changed;
  ours are written beside them, and their steps are counted from 1.
* Nothing trained is deleted or mixed: ``restore_from="fresh"`` replaces a run only with ``overwrite=True``, and
  another text, batch or optimizer needs a run of its own (``run_name="run2", restore_from="checkpoint/run1"``). With
  ``restore_from="latest"``, ``overwrite`` has no effect.
* Documents, and the rows of a table, are separated by GPT-2's end-of-text token itself, not by its spelling, so
  ``combine`` matters to ``encode_dataset`` alone. A text ends at the model's end-of-text token, not only at ``length``.
* ``destination_path``, ``out_path`` and copied files replace nothing but what this process, or ``encode_dataset``,
  wrote there before.
* Every token is trained on equally often, in windows as long as the model's, instead of windows drawn at random.
* ``include_prefix=False`` works without ``truncate`` too; a seed gives the same text every time; ``sgd`` takes the mean
  of a step's gradients, not their sum; all ``sample_num`` samples are printed, each a text of its own.
* ``generate`` uses the model in the session, or loads the run that it names if the session is empty.
* ``use_memory_saving_gradients`` works. ``multi_gpu`` computes on one GPU, with a message. ``server`` is refused.
  ``reuse`` is not needed: a session trains and loads as often as you like. ``sample_dir`` is as unused as it was.
* Missing models are downloaded, with resuming and verification; archives from Google Drive are unpacked only into a
  run that does not exist yet. Errors are those of ``gpt2simple.errors``.
"""

from __future__ import annotations

from gpt2simple.compat.command import cmd, cmd_finetune, cmd_generate
from gpt2simple.compat.drive import (
    copy_checkpoint_from_gdrive,
    copy_checkpoint_to_gdrive,
    copy_file_from_gdrive,
    copy_file_to_gdrive,
    get_tarfile_name,
    is_mounted,
    mount_gdrive,
)
from gpt2simple.compat.files import (
    download_file_with_progress,
    download_gpt2,
    encode_csv,
    encode_dataset,
    is_gpt2_downloaded,
)
from gpt2simple.compat.sample import generate, generate_to_file, load_gpt2
from gpt2simple.compat.sessions import get_available_gpus, reset_session, start_tf_sess
from gpt2simple.compat.train import finetune

__all__ = [
    "cmd", "cmd_finetune", "cmd_generate", "copy_checkpoint_from_gdrive", "copy_checkpoint_to_gdrive",
    "copy_file_from_gdrive", "copy_file_to_gdrive", "download_file_with_progress", "download_gpt2", "encode_csv",
    "encode_dataset", "finetune", "generate", "generate_to_file", "get_available_gpus", "get_tarfile_name",
    "is_gpt2_downloaded", "is_mounted", "load_gpt2", "mount_gdrive", "reset_session", "start_tf_sess",
]  # fmt: skip
