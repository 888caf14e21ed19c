"""The edge of the API: what every public call does with its arguments, and with the errors of the user's disk.

A function says by its annotations what it takes, and by ``accepts`` which settings; nothing else is to be declared.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Callable
from typing import Any, TypeVar

from gpt2simple.errors import SettingsError
from gpt2simple.settings.fields import describe, former_names, plain, type_problem
from gpt2simple.storage.disk import named_disk_errors

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def accepts(*classes: type, after: str | None = None) -> Callable[[FunctionT], FunctionT]:
    """Make a function one of the API: its arguments are checked, and errors of the disk become a StorageError.

    A function that ends in ``**settings`` gets the signature and documentation of the settings classes: ``help()`` and
    notebooks then show each setting with its default, though each is written only once. A call with another keyword
    raises SettingsError, which offers the nearest names; so does an argument that is not of the annotated type. NumPy's
    numbers arrive as Python's.

    Args:
        after: list the first class's settings after this parameter of the function; None: after all its own parameters.
    """

    def decorate(function: FunctionT) -> FunctionT:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = _with_settings(own, classes, after)
        known = [p.name for p in parameters if p.name != "self"]
        renamed = former_names(*classes)
        function_name = function.__qualname__.removesuffix(".__init__")
        hints = functools.cache(lambda: typing.get_type_hints(function))  # on first use: it looks up every type

        @functools.wraps(function)
        def checked(*arguments: Any, **given: Any) -> Any:
            for name in given if classes else ():
                if name not in known:
                    near = [renamed[name]] if name in renamed else difflib.get_close_matches(name, known, n=3)
                    raise SettingsError(_unknown(name, near, function_name))
            try:
                bound = signature.bind(*arguments, **given)
            except TypeError:
                return function(*arguments, **given)  # Python's own error, which names the function
            _check(bound, hints())
            with named_disk_errors():
                return function(*bound.args, **bound.kwargs)

        if classes:
            checked.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
            listing = "\n\n".join(f"{cls.__doc__.splitlines()[0]}\n\n{describe(cls)}" for cls in classes if cls.__doc__)
            checked.__doc__ = f"{inspect.cleandoc(function.__doc__ or '')}\n\n{listing}\n"
        return checked  # type: ignore[return-value]

    return decorate


def _with_settings(
    own: list[inspect.Parameter], classes: tuple[type, ...], after: str | None
) -> list[inspect.Parameter]:
    """The parameters of a function together with the settings that it takes."""
    names = [p.name for p in own]
    first, *others = [
        [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=f.type)
            for f in dataclasses.fields(cls)
            if f.name not in names
        ]
        for cls in classes
    ] or [[]]
    place = len(own) if after is None else names.index(after) + 1
    return [*own[:place], *first, *own[place:], *(p for of_class in others for p in of_class)]


def _check(bound: inspect.BoundArguments, hints: dict[str, Any]) -> None:
    """Replace NumPy's numbers by Python's; raise SettingsError for arguments of other types than annotated."""
    of = bound.signature.parameters
    for name, value in bound.arguments.items():
        if name == "self" or of[name].kind in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL):
            continue
        bound.arguments[name] = value = plain(value)
        if problem := type_problem(name, value, hints.get(name, Any)):
            raise SettingsError(problem)


def _unknown(name: str, near: list[str], function: str) -> str:
    hint = f"Did you mean {' or '.join(near)}?" if near else f"help(gpt2simple.{function}) lists them."
    return f"{function}() has no setting named {name!r}. {hint}"
