"""A fine-tuning at the size that people use: 124M with GPT-2's real vocabulary, from text to what other tools open."""

import time

import numpy as np
import pytest

import gpt2simple
from gpt2simple.gpt2.container import build_model, container_of
from gpt2simple.gpt2.formats.huggingface import write_model_folder
from gpt2simple.gpt2.model import LoadedModel
from gpt2simple.gpt2.tokenizer import Tokenizer
from gpt2simple.runs.metrics import read as read_metrics
from tests.helpers.models import weight_reader
from tests.helpers.paths import outside_data
from tests.helpers.reference import printed_by
from tests.helpers.weight_layouts import CONFIG_124M

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def write_random_model(folder, tokenizer):
    model = build_model(CONFIG_124M, seed=0)
    write_model_folder(folder, CONFIG_124M, weight_reader(model), tokenizer)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A session that has trained 20 steps, and the result."""
    tokenizer = Tokenizer.load(outside_data("gpt2-vocabulary"))
    folder = tmp_path_factory.mktemp("124M")
    write_random_model(folder / "model", tokenizer)
    with gpt2simple.start_session(str(folder / "model"), checkpoint_dir=folder / "checkpoint", seed=1) as session:
        began = time.monotonic()
        result = session.finetune(
            outside_data("text", "hamlet-screenplay.txt"), steps=20, eval_every=10, sample_every=10, sample_length=20
        )
        print(f"20 steps: {result.seconds:.0f} s in steps, {time.monotonic() - began:.0f} s in all")
        yield session, result


def test_the_loss_falls_in_20_steps(finished):
    _, result = finished
    recorded = read_metrics(result.run_dir)
    assert recorded.steps[0].loss == pytest.approx(np.log(CONFIG_124M.n_vocab), abs=0.3)
    assert recorded.steps[-1].loss < recorded.steps[0].loss - 2.0
    assert [look.step for look in recorded.evaluations] == [0, 10, 20]
    assert recorded.evaluations[-1].loss < recorded.evaluations[0].loss - 2.0
    assert (result.reason, result.steps, result.best_step) == ("finished", 20, 20)


def test_it_is_saved_reloaded_and_generates(finished):
    session, result = finished
    texts = session.generate("HAMLET", length=20, seed=3)
    again = gpt2simple.generate(
        run_name=session.run_name, checkpoint_dir=result.run_dir.parent, prefix="HAMLET", length=20, seed=3,
        return_as_list=True, precision=session.precision,
    )  # fmt: skip
    assert again == texts
    assert texts[0].startswith("HAMLET")


@pytest.mark.reference
@pytest.mark.parametrize("variable", ["GPT2SIMPLE_REFERENCE_PYTHON", "GPT2SIMPLE_REFERENCE4_PYTHON"])
def test_transformers_opens_the_run_and_computes_the_same(finished, tmp_path, variable):
    """The first with transformers 5, the other with transformers 4."""
    _, result = finished
    ids = np.random.default_rng(0).integers(0, CONFIG_124M.n_vocab, (2, 40))
    np.save(tmp_path / "ids.npy", ids)
    files = result.run_dir, tmp_path / "ids.npy", tmp_path / "l.npz"
    printed_by("reference/pytorch_logits.py", *files, python=variable)
    theirs = np.load(tmp_path / "l.npz")["logits"]
    ours = container_of(LoadedModel.load(result.run_dir))(ids).logits.numpy()
    print(f"largest difference {np.abs(ours - theirs).max():.1e} of logits up to {np.abs(theirs).max():.0f}")
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-3)
