"""Programs that have set TensorFlow up in their own way: graphs and switches of TensorFlow 1, forks, its warnings."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2simple.backend.tensorflow import own_context, tf
from tests.helpers.paths import ROOT
from tests.helpers.small_runs import write_model_and_text

# What an old notebook does, through both APIs, in the place where it does it.
CALLS = """
def calls(name):
    before = tf.executing_eagerly(), type(tf.TensorShape([1])[0])
    sess = gpt2.start_tf_sess()
    gpt2.finetune(sess, "text.txt", steps=1, model_name="small", model_dir=".", run_name=name, sample_every=0)
    assert len(gpt2.generate(sess, length=3, return_as_list=True)) == 1
    gpt2.reset_session(sess)
    gpt2simple.evaluate("text.txt", run_name=name, window=16)
    with gpt2simple.start_session("small", model_dir=".") as session:
        for piece in session.stream("a", length=3, seed=1):
            assert (tf.executing_eagerly(), type(tf.TensorShape([1])[0])) == before
    assert (tf.executing_eagerly(), type(tf.TensorShape([1])[0])) == before
    print(name, "ran")
"""
IMPORTS = "import os, tensorflow as tf, gpt2simple, gpt2simple.compat as gpt2\n"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model_and_text(tmp_path_factory.mktemp("context"))


def python(place: Path, script: str) -> subprocess.CompletedProcess[str]:
    kept = {**os.environ, "PYTHONPATH": str(ROOT), "GPT2SIMPLE_CACHE": str(place / "cache")}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=place, env=kept, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "switch", ["disable_v2_behavior", pytest.param("disable_eager_execution", marks=pytest.mark.slow)]
)
def test_calls_compute_where_tensorflow_2_is_switched_off(place: Path, switch: str) -> None:
    done = python(place, f"{IMPORTS}tf.compat.v1.{switch}()\n{CALLS}calls({switch!r})")
    assert done.stdout.splitlines()[-1:] == [f"{switch} ran"], done.stderr


@pytest.mark.slow
def test_calls_compute_inside_a_graph_and_a_session(place: Path) -> None:
    script = f"""{IMPORTS}{CALLS}
with tf.compat.v1.get_default_graph().as_default():
    calls("default")
with tf.Graph().as_default():
    calls("graph")
with tf.compat.v1.Session():
    calls("session")
"""
    done = python(place, script)
    ran = [line for line in done.stdout.splitlines() if line.endswith(" ran")]
    assert ran == ["default ran", "graph ran", "session ran"], done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows cannot fork")
def test_a_fork_after_computing_is_refused_where_it_would_hang(place: Path) -> None:
    script = f"""{IMPORTS}
def forked(what):
    child = os.fork()
    if child == 0:
        try:
            what()
        except BaseException as error:
            print(type(error).__name__, error, flush=True)
        finally:
            os._exit(0)
    os.waitpid(child, 0)

forked(lambda: print("before", gpt2simple.generate(model_name="small", model_dir=".", length=1, return_as_list=True)))
session = gpt2simple.start_session("small", model_dir=".")
text = session.generate("a", length=3, seed=1)
forked(lambda: session.generate("a", length=3))
forked(lambda: list(session.stream("a", length=3)))
forked(lambda: gpt2simple.start_session("small", model_dir="."))
forked(lambda: gpt2simple.make_tokenizer(["some words"], "made", vocab_size=260, n_layer=1))
forked(lambda: gpt2simple.make_tokenizer(["some words"], "tokenizer", vocab_size=260))
assert session.generate("a", length=3, seed=1) == text
"""
    done = python(place, script)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("before ["), done.stderr
    assert len(lines) == 5, lines
    for line in lines[1:]:
        assert line == (
            "BackendError This process was forked from one in which TensorFlow was running, and lacks its threads: "
            'computing here would never end. Start it with multiprocessing.get_context("spawn"), or fork before the '
            "first computation."
        )
    assert (place / "tokenizer").is_dir()  # needs no TensorFlow
    assert done.returncode == 0, done.stderr


def test_warnings_of_retracing_are_dropped_inside_only() -> None:
    logger, seen = tf.get_logger(), []
    handler = logging.Handler()
    handler.emit = lambda record: seen.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    warning = "5 out of the last 5 calls to <f> triggered tf.function retracing. Tracing is expensive"
    try:
        with own_context(), own_context():
            logger.warning(warning)
            logger.warning("another")
        logger.warning(warning)
    finally:
        logger.removeHandler(handler)
    assert seen == ["another", warning]
