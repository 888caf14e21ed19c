"""tf.data datasets, and a dataset that tensorflow-datasets prepared on disk with a builder of its own."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gpt2simple.backend.tensorflow import tf
from gpt2simple.errors import DataError
from tests.helpers.paths import ROOT
from tests.helpers.texts import documents_in, encode

STORIES = ["Once upon a time.", "Zoë saw 漢字.\r\nThe end."]


@pytest.mark.parametrize(
    ("elements", "how"),
    [
        (STORIES, {}),
        ({"text": STORIES, "label": [0, 1]}, {}),
        ({"story": STORIES, "title": ["A", "B"]}, {"column": "story"}),
        ((STORIES, [0, 1]), {}),
        (([0, 1], STORIES), {"column": 1}),
    ],
)
@pytest.mark.parametrize("batch", [None, 1, 2])
def test_a_tf_data_dataset_gives_its_strings(
    tmp_path: Path, elements: Any, how: dict[str, Any], batch: int | None
) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(elements)
    dataset = dataset if batch is None else dataset.batch(batch)
    expected = [story.replace("\r\n", "\n") for story in STORIES]
    assert documents_in(dataset, tmp_path / "cache", **how) == expected


@pytest.mark.parametrize("batch", [None, 2])
def test_numbers_beside_a_text_make_no_batch_of_it(tmp_path: Path, batch: int | None) -> None:
    """An example of a text and three numbers once gave its text three times."""
    dataset = tf.data.Dataset.from_tensor_slices({"text": STORIES, "vector": [[1.0, 2.0, 3.0]] * 2})
    dataset = dataset if batch is None else dataset.batch(batch)
    texts = documents_in(dataset, tmp_path / "cache", column="text")
    assert texts == [story.replace("\r\n", "\n") for story in STORIES]


def test_a_template_over_a_tf_data_dataset(tmp_path: Path) -> None:
    dataset = tf.data.Dataset.from_tensor_slices({"title": ["A", "B"], "n": [1, 2]})
    assert documents_in(dataset, tmp_path / "cache", template="{title}{n}") == ["A1", "B2"]


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([1, 2], r"element 0 holds no text \('text': int32\). Give a dataset whose elements are strings"),
        ({"a": [1], "b": [2.0]}, r"holds no text \('a': int32, 'b': float32\)"),
        ([b"\xff"], r"holds bytes that are not UTF-8"),
        ({"a": ["x"], "b": ["y"]}, r"the tf.data.Dataset has several columns: 'a', 'b'. Say which one is the text"),
    ],
)
def test_a_dataset_without_text_is_explained(tmp_path: Path, elements: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encode(tf.data.Dataset.from_tensor_slices(elements), tmp_path / "cache")


BUILDER = """
import numpy as np
import tensorflow_datasets as tfds

class TinyTales(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="short"), tfds.core.BuilderConfig(name="long")]

    def _info(self):
        features = {"title": tfds.features.Text(), "text": tfds.features.Text(), "stars": np.int64}
        return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples(4), "test": self._generate_examples(2)}

    def _generate_examples(self, count):
        for i in range(count):
            yield i, {"title": f"Tale {i}", "text": f"The {self.builder_config.name} tale {i} of {count}.", "stars": i}
"""

READER = """
import json, sys
from pathlib import Path
from tests.helpers.texts import documents_in, encode
from gpt2simple.errors import DataError

cache, found = Path(sys.argv[1]), {}
for name in ("tfds:tiny_tales/short", "tfds:tiny_tales/long:test", "tfds:tiny_tales/short:train[:50%]"):
    found[name] = sorted(documents_in(name, cache))
found["template"] = sorted(documents_in("tfds:tiny_tales/short:test", cache, template="{title}: {stars}"))
from gpt2simple.data import encode as module
module._encode = None  # the second time nothing is read
found["again"] = sorted(documents_in("tfds:tiny_tales/short", cache))
BAD = ("short:dev", "short:train[:x]", "short:train+nosuch", "short:train[:0]", "long:test[50:60]")
for name in (*(f"tfds:tiny_tales/{split}" for split in BAD), "tfds:no_such_dataset_at_all"):
    try:
        encode(name, cache)
    except DataError as error:
        found[name] = str(error)
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def read_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a process without the builder's code reads from the files that the builder prepared."""
    folder = tmp_path_factory.mktemp("tfds")
    (folder / "scripts").mkdir()
    (folder / "scripts" / "tiny_tales.py").write_text(BUILDER, encoding="utf-8")  # a builder must come from a file
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "scripts"))
        builder = importlib.import_module("tiny_tales").TinyTales
    for config in ("short", "long"):
        builder(config=config, data_dir=str(folder)).download_and_prepare()
    environment = {**os.environ, "TFDS_DATA_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", READER, str(folder / "cache")]
    done = subprocess.run(command, check=True, env=environment, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_a_prepared_dataset_is_read_by_name_configuration_and_split(read_elsewhere: dict[str, Any]) -> None:
    assert read_elsewhere["tfds:tiny_tales/short"] == [f"The short tale {i} of 4." for i in range(4)]
    assert read_elsewhere["tfds:tiny_tales/long:test"] == [f"The long tale {i} of 2." for i in range(2)]
    assert len(read_elsewhere["tfds:tiny_tales/short:train[:50%]"]) == 2
    assert read_elsewhere["template"] == ["Tale 0: 0", "Tale 1: 1"]
    assert read_elsewhere["again"] == read_elsewhere["tfds:tiny_tales/short"]


def test_an_unknown_dataset_or_split_is_explained(read_elsewhere: dict[str, Any]) -> None:
    assert (
        "the dataset has train, test. Name one of them: tfds:tiny_tales/short:train"
        in read_elsewhere["tfds:tiny_tales/short:dev"]
    )
    for split in ("train[:x]", "train+nosuch", "train[:0]"):
        told = read_elsewhere[f"tfds:tiny_tales/short:{split}"]
        assert f"names the split '{split}' (" in told
        assert "or a part of it: tfds:tiny_tales/short:train[:50%]" in told
    assert "(it holds no example)" in read_elsewhere["tfds:tiny_tales/short:train[:0]"]
    unknown = read_elsewhere["tfds:no_such_dataset_at_all"]
    assert "tensorflow-datasets has no dataset 'no_such_dataset_at_all'" in unknown
    assert "TFDS_DATA_DIR" in unknown


@pytest.mark.parametrize(
    "failure",
    [
        AssertionError("Manual directory /x/manual does not exist or is empty. Put tales.zip there."),
        ConnectionError("Failed to resolve 'example.org'"),
    ],
)
def test_a_dataset_that_cannot_be_prepared_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    import tensorflow_datasets

    class Builder:
        info = SimpleNamespace(splits={})

        def download_and_prepare(self) -> None:
            raise failure

    monkeypatch.setattr(tensorflow_datasets, "builder", lambda name: Builder())
    with pytest.raises(DataError, match=rf"could not prepare tales \({type(failure).__name__}: ") as raised:
        encode("tfds:tales", tmp_path / "cache")
    assert str(failure) in str(raised.value)
    assert "Follow what it says, or check the connection, and start again" in str(raised.value)
