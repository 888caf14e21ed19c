"""Let gpt-2-simple 0.8.1 itself write a run: python original_run.py FOLDER [VOCABULARY].

Runs in an environment of its own. FOLDER gets models/small, checkpoint/run1 after two training steps, and logits.npz
with the ids and logits that gpt-2-simple's own graph computes from that run. The shape is as small as gpt-2-simple
allows: it trains on windows of 1,024 tokens whatever the model. VOCABULARY is a folder with encoder.json and vocab.bpe;
without it the vocabulary is the 256 bytes.
"""

import json
import os
import sys
from pathlib import Path

import gpt_2_simple as gpt2
import numpy as np
import tensorflow as tf
from gpt_2_simple.src import model as original

HPARAMS = {"n_vocab": 257, "n_ctx": 1024, "n_embd": 8, "n_head": 2, "n_layer": 2}

v1 = tf.compat.v1
os.chdir(sys.argv[1])


def write_vocabulary(folder: Path) -> None:
    if len(sys.argv) > 2:
        for name in ("encoder.json", "vocab.bpe"):
            (folder / name).write_bytes(Path(sys.argv[2], name).read_bytes())
        HPARAMS["n_vocab"] = len(json.loads((folder / "encoder.json").read_text(encoding="utf-8")))
        return
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    symbols = {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}
    (folder / "encoder.json").write_text(json.dumps(symbols | {"<|endoftext|>": 256}))
    (folder / "vocab.bpe").write_text("#version: 0.2\n")


def write_base_model(folder: Path) -> None:
    folder.mkdir(parents=True)
    write_vocabulary(folder)
    (folder / "hparams.json").write_text(json.dumps(HPARAMS))
    draw = np.random.RandomState(0)
    with tf.Graph().as_default(), v1.Session() as session:
        hparams = original.default_hparams()
        hparams.override_from_dict(HPARAMS)
        original.model(hparams=hparams, X=v1.placeholder(tf.int32, [1, None]))
        for variable in v1.trainable_variables():
            centre = 1.0 if variable.name.endswith("/g:0") else 0.0
            variable.load(centre + 0.1 * draw.standard_normal(variable.shape), session)
        v1.train.Saver().save(session, str(folder / "model.ckpt"))


def run_logits() -> None:
    v1.reset_default_graph()
    session = gpt2.start_tf_sess()
    hparams = original.default_hparams()
    hparams.override_from_dict(HPARAMS)
    ids = np.random.RandomState(1).randint(0, 257, (1, 12))
    context = v1.placeholder(tf.int32, [1, None])
    logits = original.model(hparams=hparams, X=context)["logits"]
    gpt2.load_gpt2(session, run_name="run1", reuse=True)
    np.savez_compressed("logits.npz", ids=ids, logits=session.run(logits, {context: ids}))


write_base_model(Path("models/small"))
Path("text.txt").write_text("The lighthouse keeper paints the last lamp before dawn.\n" * 200)
gpt2.finetune(gpt2.start_tf_sess(), "text.txt", model_name="small", steps=2, learning_rate=0.01, sample_length=16)
run_logits()
