"""The rules of docs/architecture.md that can be checked by reading the sources, and by importing in a fresh process.

Each violation is listed as file:line.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

PACKAGE = ROOT / "gpt2simple"
LONGEST_FILE_LINES = 400

# Who may import the heavy libraries; everybody else says `from gpt2simple._backend import ...`.
HEAVY = {
    "tensorflow": {"_backend"},
    "tf_keras": {"_backend"},
    "transformers": {"_backend"},
    "keras": {"_backend"},
    "tensorflow_datasets": {"data"},
}

# The modules that look others up when they are first used; elsewhere an import inside a function dodges a cycle.
LAZY = {"__init__", "__main__", "api", "cli", "preparing", "testing"}
MAY_PRINT = {"__main__", "cli", "compat", "testing", "api"}
MAY_EXIT = {"__main__", "cli"}


def documented_rows() -> list[set[str]]:
    """The rows of the table "Direction of imports", top first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"## Direction of imports\s+```\n(.*?)```", text, re.DOTALL)
    assert block is not None, "docs/architecture.md has lost its table of rows"
    rows = []
    for line in block[1].splitlines():
        names: set[str] = set()
        for word in re.split(r", | {2,}", line.strip().removeprefix("-> ").strip()):
            if not re.fullmatch(r"\w+", word) or word == "leaves":
                break
            names.add(word)
        rows.append(names)
    return rows


ROWS = documented_rows()
RANK = {name: rank for rank, names in enumerate(ROWS) for name in names}
LEAVES = len(ROWS) - 1
ENGINES = RANK["training"]


@dataclass(frozen=True)
class Import:
    """One imported module, by its full dotted name, and where."""

    importer: Path
    line: int
    module: str
    in_function: bool
    for_types: bool  # under `if TYPE_CHECKING:`
    reason: bool  # the line says why it is not at the top: `# here: ...`

    @property
    def where(self) -> str:
        return f"{self.importer.relative_to(ROOT)}:{self.line}"


def sources() -> list[Path]:
    found = sorted(PACKAGE.rglob("*.py"))
    assert len(found) > 10
    return found


def part_of(path: Path) -> str:
    """The name in the table that a source file belongs to: gpt2simple/runs/root.py is part of runs."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports_of(path: Path, package: Path = PACKAGE) -> list[Import]:
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    return [
        Import(path, node.lineno, module, in_function, for_types, "# here" in lines[node.lineno - 1])
        for node, in_function, for_types in _import_statements(ast.parse(text, filename=str(path)))
        for module in _modules_of(node, path, package)
    ]


def _import_statements(
    node: ast.AST, in_function: bool = False, for_types: bool = False
) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)):
            yield child, in_function, for_types
        inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef))
        typing = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
        yield from _import_statements(child, in_function or inside, for_types or typing)


def _modules_of(node: ast.Import | ast.ImportFrom, path: Path, package: Path) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        above = path.relative_to(package.parent).parts[: -node.level]
        base = ".".join([*above, base]).rstrip(".")
    if base == "gpt2simple":  # `from gpt2simple import storage` names a module
        return [f"{base}.{alias.name}" for alias in node.names]
    return [base]


def direction_problem(importer: str, imported: str, *, for_types: bool = False) -> str | None:
    """Why one part may not import another, or None."""
    if imported == importer or importer in ("__init__", "__main__"):
        return None
    for name in (importer, imported):
        if name not in RANK:
            return f"{name} has no row in docs/architecture.md"
    if RANK[importer] < RANK[imported]:
        return None
    neighbours_may = RANK[importer] == LEAVES or (for_types and RANK[importer] != ENGINES)
    if RANK[importer] == RANK[imported] and neighbours_may:
        return None
    return f"{importer} (row {RANK[importer]}) imports {imported} (row {RANK[imported]})"


def test_the_table_is_read_as_it_is_meant() -> None:
    assert ROWS[0] == {"cli", "compat", "testing"}
    assert {"training", "generation", "evaluation"} in ROWS
    assert {"data", "weights", "download"} in ROWS
    assert ROWS[-2] == {"_backend"}
    assert ROWS[-1] >= {"settings", "shape", "records", "registry", "storage", "errors", "_version"}
    assert len(RANK) == sum(map(len, ROWS)), "a module stands in two rows"


def test_every_source_has_a_row() -> None:
    parts = {part_of(path) for path in sources()} - {"__init__", "__main__"}
    assert sorted(parts - set(RANK)) == []


def test_imports_flow_one_way() -> None:
    problems = []
    for path in sources():
        for found in imports_of(path):
            words = found.module.split(".")
            if words[0] == "gpt2simple" and len(words) > 1 and words[1] != "__version__":
                problem = direction_problem(part_of(path), words[1], for_types=found.for_types)
                problems += [f"{found.where}: {problem}"] if problem else []
    assert not problems, "\n".join(["imports against the direction:", *problems])


def test_heavy_libraries_enter_through_their_one_module() -> None:
    problems = [
        f"{found.where}: imports {found.module}"
        for path in sources()
        for found in imports_of(path)
        if part_of(path) not in HEAVY.get(found.module.split(".")[0], {part_of(path)})
    ]
    assert not problems, "\n".join(["say `from gpt2simple.backend.tensorflow import ...`:", *problems])


def is_deferred_without_right(found: Import) -> bool:
    """Whether an import inside a function has no reason on its line, or leaves its own package: it dodges a cycle."""
    words = found.module.split(".")
    if not found.in_function or words[0] != "gpt2simple" or part_of(found.importer) in LAZY:
        return False
    return not (found.reason and words[1] == part_of(found.importer))


def test_no_import_inside_a_function_dodges_a_cycle() -> None:
    problems = [
        f"{found.where}: imports {found.module} inside a function"
        for path in sources()
        for found in imports_of(path)
        if is_deferred_without_right(found)
    ]
    assert not problems, "\n".join(["move the import to the top, or the code to where it belongs:", *problems])


def test_files_stay_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    problems = [
        f"{path.relative_to(ROOT)}:{n}: longer than {LONGEST_FILE_LINES} lines"
        for path, n in lengths.items()
        if n > LONGEST_FILE_LINES
    ]
    assert not problems, "\n".join(problems)


def calls_of(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_nothing_below_the_edge_prints_or_exits() -> None:
    problems = [
        f"{path.relative_to(ROOT)}:{line}: {name}()"
        for path in sources()
        for line, name in calls_of(path)
        if (name == "print" and part_of(path) not in MAY_PRINT)
        or (name in ("exit", "quit", "sys.exit", "os._exit") and part_of(path) not in MAY_EXIT)
    ]
    assert not problems, "\n".join(problems)


def test_the_checks_see_what_they_look_for(tmp_path: Path) -> None:
    """Every kind of import statement is found, with its line; a check that sees nothing would always pass."""
    package = tmp_path / "gpt2simple"
    path = package / "runs" / "root.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import tensorflow.data\n"
        "from gpt2simple.api.functions import functions\n"
        "from gpt2simple.api.functions.session import Session\n"
        "from .. import cli\n"
        "def f():\n"
        "    from ..training.loop import run\n"
        "    from gpt2simple.runs import description# here: rarely needed\n"
        "if TYPE_CHECKING:\n"
        "    from gpt2simple.gpt2.model import Model\n"
    )
    found = [(i.line, i.module, i.in_function, i.for_types, i.reason) for i in imports_of(path, package)]
    assert found == [
        (1, "tensorflow.data", False, False, False),
        (2, "gpt2simple.api.functions", False, False, False),
        (3, "gpt2simple.api.session", False, False, False),
        (4, "gpt2simple.cli", False, False, False),
        (6, "gpt2simple.training.loop", True, False, False),
        (7, "gpt2simple.runs", True, False, True),
        (9, "gpt2simple.gpt2.model", False, True, False),
    ]


@pytest.mark.parametrize(
    ("importer", "imported", "for_types", "allowed"),
    [
        ("session", "training", False, True),
        ("registry", "shape", False, True),
        ("__main__", "cli", False, True),
        ("runs", "session", False, False),
        ("runs", "session", True, False),
        ("training", "generation", False, False),
        ("training", "generation", True, False),
        ("weights", "download", False, False),
        ("weights", "download", True, True),
        ("runs", "helpers", False, False),
    ],
)
def test_the_direction_is_judged_as_the_table_says(
    importer: str, imported: str, for_types: bool, allowed: bool
) -> None:
    assert (direction_problem(importer, imported, for_types=for_types) is None) is allowed


@pytest.mark.parametrize(
    ("part", "module", "reason", "wrong"),
    [
        ("runs/root.py", "gpt2simple.runs", True, False),
        ("runs/root.py", "gpt2simple.runs", False, True),
        ("runs/root.py", "gpt2simple.gpt2.model", True, True),
        ("runs/root.py", "h5py", False, False),
        ("api.py", "gpt2simple.api.session", False, False),
    ],
)
def test_deferred_imports_are_judged_by_reason_and_place(part: str, module: str, reason: bool, wrong: bool) -> None:
    assert is_deferred_without_right(Import(PACKAGE / part, 1, module, True, False, reason)) is wrong


LIGHT_USES = {
    "the package": "import gpt2simple; gpt2simple.__version__; dir(gpt2simple)",
    "settings": "import gpt2simple; gpt2simple.FinetuneSettings(steps=3); gpt2simple.GenerateSettings()",
    "downloading": "import gpt2simple; gpt2simple.download_gpt2; gpt2simple.is_gpt2_downloaded('124M', 'absent')",
    "tokenising": "import gpt2simple.gpt2.tokenizer",
    "data": "import gpt2simple.data",
    "weights and storage": "import gpt2simple.storage.files, gpt2simple.gpt2.hub.registry, gpt2simple.runs.records",
}


@pytest.mark.parametrize("use", LIGHT_USES, ids=lambda use: use.replace(" ", "-"))
def test_tensorflow_is_loaded_on_first_use_only(use: str) -> None:
    script = f"{LIGHT_USES[use]}\nimport sys; print([m for m in {sorted(HEAVY)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
