"""The packages that this one needs: their versions, which are missing, and what installs those.

``pip install --no-deps`` leaves an environment (a notebook of Colab) as it is; then something may be missing. Only
``require`` imports any of them.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Mapping

from gpt2simple._version import __version__
from gpt2simple.errors import BackendError

_TENSORFLOW = ("tensorflow", "tensorflow-cpu", "tensorflow-intel", "tf-nightly")  # distributions that provide it
_OF_RUNS = ("tf_keras", "transformers", "numpy")  # besides TensorFlow, what a run's numbers may depend on
# For `Session.model` to be a `TFGPT2LMHeadModel`, and for callbacks that a user writes with Keras 3.
_OPTIONAL = ("transformers", "keras")
_REQUIREMENT = re.compile(r"([\w.-]+)([^;]*)(?:;.*python_version *(<|>=) *[\"'](\d+)\.(\d+))?")


def version(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def tensorflow_version() -> str | None:
    """The version of TensorFlow, under whatever name it was installed."""
    return next(filter(None, map(version, _TENSORFLOW)), None)


def versions() -> dict[str, str]:
    """The installed versions that a run's numbers depend on, by package name."""
    found = {"tensorflow": tensorflow_version(), **{name: version(name) for name in _OF_RUNS}}
    return {"gpt2simple": __version__, **{name: installed for name, installed in found.items() if installed}}


def missing() -> list[str]:
    """The distributions that this package needs and that are not installed, as ``pip install`` takes them."""
    return [_wanted(name) for name in _required() if name not in _OPTIONAL and not _is_there(name)]


def missing_package(error: ImportError) -> BackendError:
    """The error where a package that is needed cannot be imported."""
    module = (error.name or "tensorflow").partition(".")[0]
    name = module.replace("_", "-")
    if _is_there(name):
        reason = f"{module} could not be imported ({error}). It may not fit the other packages here."
        return BackendError(f"{reason} Install it again: {_command([_wanted(name)], '--force-reinstall --no-deps ')}")
    others = [wanted for wanted in missing() if wanted != _wanted(name)]
    return BackendError(
        f"{module} is not installed, and this needs it. Install it: {_command([_wanted(name), *others])}"
    )


def require(modules: Mapping[str, str], use: str) -> None:
    """Return if packages of an extra can be imported, which this does; to be called before anything large is loaded.

    Args:
        modules: the distribution of each module. use: what needs them, with its verb: "classifying texts needs".

    Raises:
        BackendError: one is not installed, lacks a package that it needs, or cannot be imported.
    """
    absent = []
    for module, distribution in modules.items():
        try:
            __import__(module)
        except ModuleNotFoundError:
            absent.append(distribution)
        except ImportError as error:
            raise BackendError(
                f"{distribution} could not be imported ({error}). It may not fit the other packages here. Install it "
                f"again: {_command([distribution], '--upgrade --force-reinstall --no-deps ')}"
            ) from error
    if absent:
        verb, them = ("is", "it") if len(absent) == 1 else ("are", "them")
        raise BackendError(
            f"{' and '.join(absent)} {verb} not installed, and {use} {them}. Install {them}: {_command(absent)}"
        )


def install_command() -> str:
    """What installs all that is missing."""
    return _command(missing())


def _command(wanted: list[str], options: str = "") -> str:
    return f"`pip install {options}{' '.join(wanted)}`."


def _is_there(distribution: str) -> bool:
    return (tensorflow_version() if distribution == "tensorflow" else version(distribution)) is not None


def _wanted(distribution: str) -> str:
    """A distribution as ``pip install`` takes it: tf-keras must fit the TensorFlow that is there."""
    if distribution == "tf-keras" and (found := tensorflow_version()):
        return f"tf-keras=={'.'.join(found.split('.')[:2])}.*"
    bounds = _required().get(distribution, "")
    return f"'{distribution}{bounds}'" if bounds else distribution


def _required() -> dict[str, str]:
    """What the package asks for on this Python: the bounds of each distribution."""
    try:
        listed = importlib.metadata.requires("gpt2simple") or []
    except importlib.metadata.PackageNotFoundError:  # used from its repository, without an installation
        return {}
    found = {}
    for line in listed:
        match = _REQUIREMENT.match(line)
        if match is None or "extra ==" in line:
            continue
        name, bounds, comparison, major, minor = match.groups()
        if comparison is None or (sys.version_info[:2] < (int(major), int(minor))) == (comparison == "<"):
            found[name.lower().replace("_", "-")] = bounds.strip().replace(" ", "")
    return found
