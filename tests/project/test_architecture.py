"""The rules of docs/architecture.md that can be checked by reading the sources, and by importing in a fresh process.

Each violation is listed as file:line.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.helpers.paths import BENCHMARKS, PACKAGE, ROOT, TESTS

LONGEST_FILE_LINES = 500
MOST_ENTRIES = 14
UNCOUNTED = {"__init__", "__main__", "_version"}

# Where the heavy libraries are imported; everybody else imports from there.
HEAVY = {
    "tensorflow": "backend/tensorflow.py",
    "tf_keras": "backend/keras.py",
    "transformers": "gpt2/container.py",
    "keras": "backend/keras.py",
    "tensorflow_datasets": "data/readers/",
}

# The parts that look others up when they are first used; elsewhere an import inside a function dodges a cycle.
LAZY = {"__init__", "__main__", "api", "cli", "testing"}
MAY_PRINT = {"cli", "compat"}
MAY_EXIT = {"__main__", "cli", "compat"}


@dataclass(frozen=True)
class Row:
    """One row of the table: parts that import from the rows below it, and from one another unless independent."""

    names: frozenset[str]
    independent: bool


def documented_rows() -> list[Row]:
    """The rows of the table "Direction of imports", top first."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    block = re.search(r"^## Direction of imports\n+```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert block is not None, "docs/architecture.md has lost its table of rows"
    lines = [line.partition("#") for line in block[1].splitlines()]
    return [Row(frozenset(names.split()), "independent" in comment) for names, _, comment in lines]


ROWS = documented_rows()
RANK = {name: rank for rank, row in enumerate(ROWS) for name in row.names}


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
    """The name in the table that a source file belongs to: gpt2simple/runs/writer.py is part of runs."""
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
    named = [f"{base}.{alias.name}" for alias in node.names]
    return [name if base == package.name or _is_module(name, package) else base for name in named]


def _is_module(name: str, package: Path) -> bool:
    path = package.parent.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or path.is_dir()


def imports_within_the_package() -> Iterator[Import]:
    for path in sources():
        for found in imports_of(path):
            if found.module.startswith("gpt2simple.") and found.module != "gpt2simple.__version__":
                yield found


def direction_problem(importer: str, imported: str) -> str | None:
    """Why one part may not import another, or None."""
    if imported == importer or importer == "__init__":
        return None
    for name in (importer, imported):
        if name not in RANK:
            return f"{name} has no row in docs/architecture.md"
    above, below = RANK[importer], RANK[imported]
    if above < below or (above == below and not ROWS[above].independent):
        return None
    return f"{importer} (row {above}) imports {imported} (row {below})"


def circle_in(graph: Mapping[str, Set[str]]) -> list[str]:
    """Nodes of which each leads to the next and the last to the first; none where there is no such circle."""
    done: set[str] = set()

    def follow(node: str, way: list[str]) -> list[str]:
        if node in way:
            return way[way.index(node) :]
        if node in done:
            return []
        for following in sorted(graph.get(node, set())):
            if circle := follow(following, [*way, node]):
                return circle
        done.add(node)
        return []

    return next((circle for node in sorted(graph) if (circle := follow(node, []))), [])


def test_the_table_is_read_as_it_is_meant() -> None:
    assert [sorted(row.names) for row in ROWS] == [
        ["__main__"],
        ["cli", "compat"],
        ["api"],
        ["evaluation", "generation", "training"],
        ["data", "runs", "testing"],
        ["gpt2"],
        ["backend", "settings", "storage"],
        ["_version", "errors"],
    ]
    assert [row.independent for row in ROWS] == [rank == RANK["training"] for rank in range(len(ROWS))]


def test_every_source_has_a_row() -> None:
    assert sorted({part_of(path) for path in sources()} - {"__init__"} - set(RANK)) == []


def test_the_package_has_few_entries() -> None:
    entries = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))} - UNCOUNTED
    assert len(entries) <= MOST_ENTRIES, f"more than {MOST_ENTRIES} modules and folders: {', '.join(sorted(entries))}"


def test_imports_flow_one_way() -> None:
    problems = []
    for found in imports_within_the_package():
        problem = direction_problem(part_of(found.importer), found.module.split(".")[1])
        problems += [f"{found.where}: {problem}"] if problem else []
    assert not problems, "\n".join(["imports against the direction:", *problems])


def test_the_entries_of_the_package_import_one_another_in_no_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in imports_within_the_package():
        part, imported = part_of(found.importer), found.module.split(".")[1]
        if imported != part:
            graph.setdefault(part, set()).add(imported)
    circle = circle_in(graph)
    assert not circle, " -> ".join([*circle, circle[0]])


def test_modules_import_one_another_in_no_circle() -> None:
    """Imports inside functions count; what only annotations need does not."""
    graph: dict[str, set[str]] = {}
    for found in imports_within_the_package():
        module = ".".join(found.importer.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if not found.for_types:
            graph.setdefault(module, set()).add(found.module)
    circle = circle_in(graph)
    assert not circle, " -> ".join([*circle, circle[0]])


def test_heavy_libraries_enter_through_their_one_module() -> None:
    problems = [
        f"{found.where}: imports {found.module}"
        for path in sources()
        for found in imports_of(path)
        if not path.relative_to(PACKAGE).as_posix().startswith(HEAVY.get(found.module.split(".")[0], ""))
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
    files = [*sources(), *TESTS.rglob("*.py"), *BENCHMARKS.rglob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
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
    path = package / "runs" / "writer.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import tensorflow.data\n"
        "from gpt2simple import storage\n"
        "from gpt2simple.api.session import Session\n"
        "from gpt2simple.runs import layout, writer\n"
        "from .. import cli\n"
        "def f():\n"
        "    from ..training.loop import run\n"
        "    from gpt2simple.runs import description  # here: rarely needed\n"
        "if TYPE_CHECKING:\n"
        "    from gpt2simple.gpt2.model import Model\n"
    )
    found = [(i.line, i.module, i.in_function, i.for_types, i.reason) for i in imports_of(path, package)]
    assert found == [
        (1, "tensorflow.data", False, False, False),
        (2, "gpt2simple.storage", False, False, False),
        (3, "gpt2simple.api.session", False, False, False),
        (4, "gpt2simple.runs", False, False, False),
        (4, "gpt2simple.runs.writer", False, False, False),
        (5, "gpt2simple.cli", False, False, False),
        (7, "gpt2simple.training.loop", True, False, False),
        (8, "gpt2simple.runs", True, False, True),
        (10, "gpt2simple.gpt2.model", False, True, False),
    ]


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("api", "training", True),
        ("gpt2", "errors", True),
        ("__main__", "cli", True),
        ("backend", "settings", True),
        ("runs", "api", False),
        ("training", "generation", False),
        ("errors", "settings", False),
        ("gpt2", "data", False),
        ("cli", "__main__", False),
        ("runs", "helpers", False),
    ],
)
def test_the_direction_is_judged_as_the_table_says(importer: str, imported: str, allowed: bool) -> None:
    assert (direction_problem(importer, imported) is None) is allowed


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({}, []),
        ({"a": {"b", "c"}, "b": {"c"}}, []),
        ({"a": {"b"}, "b": {"c", "d"}, "d": {"b"}}, ["b", "d"]),
        ({"a": {"a"}}, ["a"]),
    ],
)
def test_a_circle_is_found(graph: dict[str, set[str]], circle: list[str]) -> None:
    assert circle_in(graph) == circle


@pytest.mark.parametrize(
    ("part", "module", "reason", "wrong"),
    [
        ("runs/writer.py", "gpt2simple.runs", True, False),
        ("runs/writer.py", "gpt2simple.runs", False, True),
        ("runs/writer.py", "gpt2simple.gpt2.model", True, True),
        ("runs/writer.py", "h5py", False, False),
        ("api/functions.py", "gpt2simple.data.export", False, False),
    ],
)
def test_deferred_imports_are_judged_by_reason_and_place(part: str, module: str, reason: bool, wrong: bool) -> None:
    assert is_deferred_without_right(Import(PACKAGE / part, 1, module, True, False, reason)) is wrong


LIGHT_USES = {
    "the package": "import gpt2simple; gpt2simple.__version__; dir(gpt2simple)",
    "settings": "import gpt2simple; gpt2simple.FinetuneSettings(steps=3); gpt2simple.GenerateSettings()",
    "downloading": "import gpt2simple; gpt2simple.download_gpt2; gpt2simple.is_gpt2_downloaded('124M', 'absent')",
    "tokenising": "import gpt2simple.gpt2.tokenizer",
    "data": "import gpt2simple.data.encode",
    "weights and storage": "import gpt2simple.storage.files, gpt2simple.gpt2.hub.registry, gpt2simple.runs.records",
}


@pytest.mark.parametrize("use", LIGHT_USES, ids=lambda use: use.replace(" ", "-"))
def test_tensorflow_is_loaded_on_first_use_only(use: str) -> None:
    script = f"{LIGHT_USES[use]}\nimport sys; print([m for m in {sorted(HEAVY)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
