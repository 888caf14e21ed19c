"""Print the functions of gpt-2-simple with their arguments and defaults, as JSON.

Runs in an environment with gpt-2-simple 0.8.1, whose source it reads without importing it (that would load TensorFlow):
python tests/golden/make_gpt2_simple_signatures.py > tests/golden/gpt2_simple_signatures.json
"""

import ast
import importlib.util
import json
from pathlib import Path

REQUIRED = "(required)"


def arguments(function):
    given = function.args
    assert not any((given.vararg, given.kwarg, given.kwonlyargs, given.posonlyargs)), function.name
    # A default such as '=' * 20 is an expression of constants, which names nothing.
    defaults = [eval(ast.unparse(node), {"__builtins__": {}}) for node in given.defaults]
    required = [REQUIRED] * (len(given.args) - len(defaults))
    return dict(zip([argument.arg for argument in given.args], required + defaults, strict=True))


package = Path(importlib.util.find_spec("gpt_2_simple").origin).parent
statements = ast.parse((package / "gpt_2.py").read_text(encoding="utf-8")).body
functions = {node.name: arguments(node) for node in statements if isinstance(node, ast.FunctionDef)}
print(json.dumps(dict(sorted(functions.items())), indent=1))
