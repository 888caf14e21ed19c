"""Makes the notebooks in examples/ from the sources beside this file, and executes them.

    python examples/notebooks/make_notebooks.py                      write all; keep outputs where the code is the same
    python examples/notebooks/make_notebooks.py --run                execute them too, each in a folder of its own
    python examples/notebooks/make_notebooks.py --run 01_quickstart

A source is Python in percent format: `# %%` begins a cell, `# %% [markdown]` one of text. A line `# include: name`
stands for name.py of this folder, so that what all notebooks share is written once; PLAY in such a file is the text of
examples/script.txt, compressed. Code that begins with `# @title` is a form in Colab.

Executing needs nbclient and ipykernel. What the notebooks do is tested by tests/project/test_notebooks.py.
"""

from __future__ import annotations

import argparse
import base64
import bz2
import json
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).resolve().parent
EXAMPLES = SOURCES.parent
ROOT = EXAMPLES.parent
NAMES = ("01_quickstart", "02_overfitting", "03_classifying", "04_pairs")
_CELL_SECONDS = 1800


def notebook(name: str, parameters: Mapping[str, object] | None = None) -> dict[str, Any]:
    """A notebook without outputs, as its file has it.

    Args:
        parameters: values of form fields, by name, in place of those in the source.

    Raises:
        ValueError: there is no such field.
    """
    text = (SOURCES / f"{name}.py").read_text(encoding="utf-8")
    cells = [_cell(number, part) for number, part in enumerate(re.split(r"^# %%", text, flags=re.MULTILINE)[1:])]
    for field, value in (parameters or {}).items():
        _fill_in(cells, field, value)
    metadata = {
        "colab": {"provenance": [], "toc_visible": True},
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(number: int, part: str) -> dict[str, Any]:
    head, _, body = part.partition("\n")
    cell: dict[str, Any] = {"id": f"cell-{number:02}", "metadata": {}}
    if "[markdown]" in head:
        text = "\n".join(re.sub(r"^# ?", "", line) for line in body.strip().splitlines())
        return {"cell_type": "markdown", **cell, "source": _lines(text)}
    code = re.sub(r"^# include: (\w+)$", lambda found: _included(found[1]), body.strip(), flags=re.MULTILINE)
    # Colab's own spelling of forms; ruff wants the blank.
    code = re.sub(r"# @(title|param|markdown)\b", r"#@\1", code)
    if code.startswith("#@title"):
        cell["metadata"] = {"cellView": "form"}
    return {"cell_type": "code", **cell, "execution_count": None, "outputs": [], "source": _lines(code)}


def _included(name: str) -> str:
    text = (SOURCES / f"{name}.py").read_text(encoding="utf-8")
    code = re.sub(r'\A""".*?"""\n+', "", text, flags=re.DOTALL)  # the docstring is for who reads the sources
    return code.strip().replace('PLAY = ""', f'PLAY = "{_packed_play()}"')


def _packed_play() -> str:
    return base64.b85encode(bz2.compress((EXAMPLES / "script.txt").read_bytes())).decode("ascii")


def _lines(text: str) -> list[str]:
    return text.splitlines(keepends=True)


def _fill_in(cells: list[dict[str, Any]], field: str, value: object) -> None:
    for cell in cells:
        source = "".join(cell["source"])
        changed = re.sub(rf"^{field} = .*?(?=  #@param)", lambda _: f"{field} = {value!r}", source, flags=re.MULTILINE)
        if changed != source:
            cell["source"] = _lines(changed)
            return
    raise ValueError(f"no form has a field {field!r} with another value than {value!r}")


def written(name: str) -> dict[str, Any] | None:
    """The notebook's file, if there is one."""
    path = EXAMPLES / f"{name}.ipynb"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def without_outputs(found: Mapping[str, Any]) -> dict[str, Any]:
    """A notebook as ``notebook`` gives it."""
    cells = [
        {**cell, "outputs": [], "execution_count": None} if cell["cell_type"] == "code" else cell
        for cell in found["cells"]
    ]
    return {**found, "cells": cells}


def with_outputs_of(before: Mapping[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """A notebook with the outputs of an earlier one, if the code of both is the same."""
    one, other = ([cell for cell in found["cells"] if cell["cell_type"] == "code"] for found in (before, made))
    if [cell["source"] for cell in one] != [cell["source"] for cell in other]:
        return made
    for cell, old in zip(other, one, strict=True):
        cell["outputs"], cell["execution_count"] = old["outputs"], old["execution_count"]
    return made


def executed(made: dict[str, Any], folder: Path, *, times: int = 1) -> dict[str, Any]:
    """A notebook with the outputs of running it from top to bottom in a folder.

    Args:
        times: how often, in the same kernel; the outputs are those of the last time.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    import nbformat  # here: making notebooks needs neither
    from nbclient import NotebookClient

    # The kernel is another process: it finds this checkout, and keeps its cache of encoded texts in the folder.
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "GPT2SIMPLE_CACHE": str(folder / "cache")}
    cells = made["cells"]
    again = [{**cell, "id": f"{cell['id']}-{number}"} for number in range(1, times) for cell in cells]
    texts = [{**cell, "source": "".join(cell["source"])} for cell in (*cells, *again)]
    run = nbformat.from_dict({**made, "cells": texts})
    client = NotebookClient(
        run,
        timeout=_CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
    )
    client.execute(env=environment)
    last = json.loads(json.dumps(run))["cells"][-len(cells) :]
    for number, (cell, old) in enumerate(zip(last, cells, strict=True)):
        cell["id"], cell["metadata"] = old["id"], old["metadata"]
        cell["source"] = old["source"]
        if cell["cell_type"] == "code":
            cell["execution_count"] = number + 1
            cell["outputs"] = [_tidy(output, number + 1) for output in _joined(cell["outputs"])]
    return {**made, "cells": last}


def _joined(outputs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs, with those to one stream in a row as one."""
    joined: list[dict[str, Any]] = []
    for output in outputs:
        before = joined[-1] if joined else {}
        if output["output_type"] == "stream" and before.get("name") == output["name"]:
            before["text"] += output["text"]
        else:
            joined.append(dict(output))
    return joined


def _tidy(output: dict[str, Any], count: int) -> dict[str, Any]:
    """An output as Jupyter writes it: texts as lists of lines."""
    if output["output_type"] == "execute_result":
        output["execution_count"] = count
    if "text" in output:
        output["text"] = _lines("".join(output["text"]))
    for kind, value in output.get("data", {}).items():
        if isinstance(value, str) and not kind.startswith("image/"):
            output["data"][kind] = _lines(value)
    return output


def write(name: str, made: Mapping[str, Any]) -> Path:
    """Write a notebook's file."""
    path = EXAMPLES / f"{name}.ipynb"
    path.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(NAMES)}; none: all")
    parser.add_argument("--run", action="store_true", help="execute them")
    asked = parser.parse_args()
    for name in asked.names or NAMES:
        made, before = notebook(name), written(name)
        if asked.run:
            with tempfile.TemporaryDirectory() as folder:
                made = executed(made, Path(folder))
        elif before is not None:
            made = with_outputs_of(before, made)
        print(write(name, made).relative_to(ROOT))


if __name__ == "__main__":
    sys.exit(main())
