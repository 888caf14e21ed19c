"""Where the project's files are that tests read."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
ROOT = TESTS.parent
GOLDEN = TESTS / "golden"
REFERENCE = TESTS / "reference"  # scripts that run in environments of their own
EXAMPLES = ROOT / "examples"
BENCHMARKS = ROOT / "benchmarks"
