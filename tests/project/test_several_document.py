"""docs/several.md: its scripts make a TF_CONFIG that is understood, and its messages are those that are written."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gpt2simple.backend.cluster import Cluster, read_cluster
from tests.helpers.documents import DOCS, blocks, text_of
from tests.helpers.quoted import is_held

PAGE = text_of(DOCS / "several.md")
SCRIPTS = blocks("bash", PAGE)


def test_the_two_laptops_have_one_cluster_and_two_numbers() -> None:
    found = [read_cluster({"TF_CONFIG": text}) for text in re.findall(r"TF_CONFIG='(.*?)'", PAGE)]
    addresses = ("192.168.1.10:2222", "192.168.1.11:2222")
    assert found == [Cluster(addresses, 0), Cluster(addresses, 1)]


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_the_slurm_script_gives_each_node_its_number(tmp_path: Path) -> None:
    """Slurm's two programs stand in: one lists the nodes, the other runs a command as each task."""
    (script,) = [block for block in SCRIPTS if "#SBATCH" in block]
    programs = {
        "scontrol": 'test "$*" = "show hostnames node[1-3]" && printf "node1\\nnode2\\nnode3\\n"',
        "srun": 'for id in 0 1 2; do SLURM_PROCID=$id "$@" || exit 1; done',
        "gpt2simple": f'printf "%s\\n" "$TF_CONFIG" "$*" >> {tmp_path}/told',
    }
    for name, line in programs.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{line}\n")
        (tmp_path / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[1-3]"}
    subprocess.run(["bash", "-c", script], env=environment, check=True)
    told = (tmp_path / "told").read_text().splitlines()
    addresses = ("node1:2222", "node2:2222", "node3:2222")
    assert [read_cluster({"TF_CONFIG": text}) for text in told[::2]] == [Cluster(addresses, i) for i in range(3)]
    assert all(json.loads(text) for text in told[::2])
    assert set(told[1::2]) == {"finetune script.txt --run-name play --batch-size 4"}


def quoted() -> list[str]:
    """The messages in the table of faults, without what stands for names and the rest."""
    said = re.findall(r"\| `(?:Worker 1|Two|This)[^`]*` \|", PAGE)
    pieces = [re.sub(r"^\| `|` \|$", "", line) for line in said]
    return [re.sub(r"\(\.\.\.\)|\(192\S+\)", "(10.0.0.2:2222)", piece).removesuffix(" ...") for piece in pieces]


@pytest.mark.parametrize("message", quoted())
def test_each_message_is_one_that_the_package_writes(message: str) -> None:
    assert is_held(message)


def test_there_are_as_many_messages_as_kinds_of_fault() -> None:
    assert len(quoted()) == 5


def test_the_seconds_are_those_of_the_bytes() -> None:
    """Two workers: each sends the gradients' size once a step."""
    rows = re.findall(r"^\| (?:124M|355M|774M|1558M) \| (.*) \|$", PAGE, re.MULTILINE)
    units = {"MB": 1e6, "GB": 1e9}
    for row in rows:
        whole, slow, fast, adapter, of_adapter = (cell.split() for cell in row.split(" | "))
        size, small = (float(value) * units[unit] for value, unit in (whole, adapter))
        for told, bytes_, bits in ((slow, size, 1e9), (fast, size, 1e10), (of_adapter, small, 1e9)):
            assert float(told[0]) == pytest.approx(8 * bytes_ / bits, rel=0.05, abs=0.006)
    assert len(rows) == 4
