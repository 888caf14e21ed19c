"""What XLA compiled is read again by the next process, and a store that cannot be trusted costs nothing but time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from gpt2simple.backend import xla_cache
from tests.helpers.paths import ROOT

PROGRAM = """
import os, sys
from gpt2simple.backend import strategies
from gpt2simple.backend.tensorflow import tf
from gpt2simple.gpt2.network.xla import Compiled
strategies.start(strategies.on_one_machine(None), None)
BEFORE
total = Compiled(lambda x: tf.reduce_sum(tf.exp(x) * 3.0), ["test"])(tf.ones([7]))
print(os.environ.get("TF_XLA_FLAGS"), round(float(total), 4))
"""
RESULT = "None 57.0839"


def start(cache: Path, before: str = "", **environ: str) -> subprocess.Popen[str]:
    """A process that compiles one function."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM.replace("BEFORE", before)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "GPT2SIMPLE_CACHE": str(cache), "GPT2SIMPLE_COMPILE_CACHE": "", **environ},
    )  # fmt: skip


def compute(cache: Path, before: str = "", **environ: str) -> str:
    """What such a process prints; it writes nothing else and leaves no folder of its own."""
    process = start(cache, before, **environ)
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, "")
    assert not list(cache.rglob(".tmp-*"))
    return output.strip()


def entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("compiled/*/*.pb"))


def contents(cache: Path) -> dict[str, tuple[int, int]]:
    """Each entry's file: a file that was written anew is another one."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in entries(cache)}


def replace_content(path: Path, content: bytes) -> None:
    """An entry with another content, of which its name tells the digest."""
    name = path.name.partition("@")[0]
    path.unlink()
    path.with_name(f"{name}@{hashlib.sha256(content).hexdigest()}.pb").write_bytes(content)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with what one process has compiled."""
    cache = tmp_path_factory.mktemp("cache") / "a folder's"
    assert compute(cache) == RESULT
    return cache


@pytest.fixture
def cache(filled: Path, tmp_path: Path) -> Path:
    """A copy of it, in which a test may do damage."""
    subprocess.run(["cp", "-a", filled, tmp_path / "cache"], check=True)
    return tmp_path / "cache"


def test_a_process_adds_what_it_compiled_and_the_next_compiles_nothing(cache: Path) -> None:
    before = contents(cache)
    assert len(before) == 1
    assert compute(cache) == RESULT
    assert contents(cache) == before


def test_the_entry_is_what_the_next_process_computes_with(cache: Path) -> None:
    """One that TensorFlow cannot read, though its name tells its digest: the computation fails, and begins anew."""
    replace_content(entries(cache)[0], b"no such thing")
    before = (
        "from gpt2simple.backend import xla_cache; again = xla_cache.start_anew\n"
        "xla_cache.start_anew = lambda: print('anew', end=' ') or again()"
    )
    assert compute(cache, before) == f"anew {RESULT}"


KNOWN = 'print(*(Compiled(abs, [name]).is_known for name in ("test", "other")), end=" ")'


@pytest.mark.slow
def test_a_process_knows_what_an_earlier_one_has_compiled(cache: Path, tmp_path: Path) -> None:
    assert compute(cache, KNOWN) == f"True False {RESULT}"
    assert compute(tmp_path / "new", KNOWN) == f"False False {RESULT}"
    assert compute(cache, KNOWN, GPT2SIMPLE_COMPILE_CACHE="off") == f"False False {RESULT}"


def test_a_damaged_entry_is_compiled_again(cache: Path) -> None:
    (path,) = entries(cache)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert compute(cache) == RESULT
    (again,) = entries(cache)
    assert hashlib.sha256(again.read_bytes()).hexdigest() == again.stem.split("@")[1]


@pytest.mark.slow
def test_two_processes_fill_one_store(tmp_path: Path) -> None:
    both = [start(tmp_path), start(tmp_path)]
    assert [process.communicate()[0].strip() for process in both] == [RESULT, RESULT]
    assert len({path.name.split("@")[0] for path in entries(tmp_path)}) == 1
    assert compute(tmp_path) == RESULT


@pytest.mark.slow
def test_what_a_killed_process_left_is_removed_by_the_next(cache: Path) -> None:
    killed = start(cache, "os.kill(os.getpid(), 9)")
    killed.communicate()
    assert list(cache.rglob(".tmp-*"))
    assert compute(cache) == RESULT


@pytest.mark.parametrize(
    "environ", [{"GPT2SIMPLE_COMPILE_CACHE": "off"}, {"TF_XLA_FLAGS": "--tf_xla_persistent_cache_directory=PLACE"}]
)
def test_it_can_be_switched_off_and_gives_way_to_the_users_own(tmp_path: Path, environ: dict[str, str]) -> None:
    environ = {name: value.replace("PLACE", str(tmp_path / "own")) for name, value in environ.items()}
    assert compute(tmp_path, **environ).endswith(RESULT.split()[1])
    assert not (tmp_path / "compiled").exists()


@pytest.mark.slow
def test_a_file_in_the_place_of_the_folder_costs_only_time(tmp_path: Path) -> None:
    (tmp_path / "compiled").write_text("a file")
    assert compute(tmp_path) == RESULT


NOTHING_KEPT = "from gpt2simple.backend import xla_cache; assert xla_cache._folder is None"


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_folder_that_others_can_write_is_not_used(cache: Path, which: int) -> None:
    (entries(cache)[0].parent, cache / "compiled")[which].chmod(0o777)
    assert compute(cache, NOTHING_KEPT) == RESULT


@pytest.mark.slow
def test_where_files_are_open_to_the_group_the_folders_are_not(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        assert compute(tmp_path / "cache") == RESULT
    finally:
        os.umask(before)
    assert len(entries(tmp_path / "cache")) == 1


@pytest.mark.slow
def test_options_in_a_file_of_the_users_are_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "options").write_text("--tf_xla_max_cluster_size=7")
    assert compute(cache, NOTHING_KEPT, TF_XLA_FLAGS=str(tmp_path / "options")).endswith(RESULT.split()[1])


@pytest.mark.slow
def test_an_entry_that_fails_is_not_kept(cache: Path) -> None:
    replace_content(entries(cache)[0], b"no such thing")
    assert compute(cache) == RESULT
    assert entries(cache) == []
    assert compute(cache) == RESULT
    assert len(entries(cache)) == 1


@pytest.mark.slow
def test_a_fork_leaves_the_folder_to_its_parent(tmp_path: Path) -> None:
    before = (
        "child = os.fork()\n"
        "if child == 0: sys.exit(0)\n"
        "os.waitpid(child, 0)\n"
        "from gpt2simple.backend.xla_cache import _folder; assert _folder._entries.is_dir()"
    )
    assert compute(tmp_path, before) == RESULT
    assert len(entries(tmp_path)) == 1


@pytest.mark.slow
def test_training_goes_on_where_the_folder_cannot_be_written(tmp_path: Path) -> None:
    """XLA compiles the parts of its step one by one, so that a step that failed half-way cannot be repeated."""
    before = (
        "from gpt2simple.backend.xla_cache import _folder\n"
        "import shutil; shutil.rmtree(_folder._entries); _folder._entries.write_text('in the way')\n"
        "import gpt2simple; open('text.txt', 'w').write(__import__('gpt2simple.testing').testing.sample_text(200))\n"
        "result = gpt2simple.finetune('text.txt', model_name='tiny', steps=2, window=32, sample_every=0)\n"
        "assert result.steps == 2, result"
    )
    process = start(tmp_path / "cache", f"os.chdir({str(tmp_path)!r})\n{before}")
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    assert output.strip().endswith("57.0839")


def test_a_disk_that_fills_up_costs_only_time(tmp_path: Path) -> None:
    """The folder is taken away when TensorFlow is about to write."""
    before = (
        "from gpt2simple.backend.xla_cache import _folder\n"
        "import shutil; shutil.rmtree(_folder._entries); _folder._entries.write_text('in the way')"
    )
    process = start(tmp_path, before)
    assert process.communicate()[0].strip() == RESULT
    assert entries(tmp_path) == []


@pytest.mark.parametrize("change", ["processor", "version", "flags", "threads"])
def test_another_processor_tensorflow_or_setting_has_a_store_of_its_own(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    before = xla_cache._key(None)
    assert before is not None
    if change == "processor":
        monkeypatch.setattr(xla_cache, "_processor", lambda: "flags: sse2")
    elif change == "version":
        monkeypatch.setattr(xla_cache, "tensorflow_version", lambda: "2.99.0")
    elif change == "flags":
        monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert xla_cache._key(99 if change == "threads" else None) not in (None, before)


def test_an_unknown_processor_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(xla_cache, "_processor", lambda: None)
    assert xla_cache._ProcessFolder.open(tmp_path, None) is None
    assert list(tmp_path.iterdir()) == []


def test_a_nearly_full_disk_keeps_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(xla_cache, "_FREE_BYTES", 1 << 60)
    assert xla_cache._ProcessFolder.open(tmp_path, None) is None


def test_the_oldest_entries_go_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(xla_cache, "_MOST_BYTES", 2500)
    for number in range(5):
        path = tmp_path / f"key{number % 2}" / f"{number}@{number}.pb"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(1000))
        os.utime(path, (number, number))
        (path.parent / "0.known").touch()
    (tmp_path / "key2").mkdir()
    (tmp_path / "key2" / "0.known").touch()
    xla_cache._trim(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*.pb")) == ["3@3.pb", "4@4.pb"]
    assert list(tmp_path.rglob("*.known")) == [tmp_path / "key2" / "0.known"]  # of the others an entry may be gone
