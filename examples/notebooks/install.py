"""In the first cell of every notebook: installs what is missing, says what computes; files from and to the browser."""

import importlib.metadata
import importlib.util
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

IN_COLAB = "google.colab" in sys.modules


def pip_install(*packages):
    """Install packages. Nothing that is installed already changes: pip keeps its version, or refuses."""
    number = r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)*(\+[\w.]+)?"
    found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    kept = [f"{name}=={version}\n" for name, version in found.items() if name and re.fullmatch(number, version)]
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "installed.txt")
        constraints.write_text("".join(kept))
        subprocess.run([sys.executable, "-m", "pip", "install", "-q", "-c", constraints, *packages], check=True)
    importlib.invalidate_caches()


def facts():
    """What this computer has, as `gpt2simple info` tells it."""
    told = subprocess.run(
        [sys.executable, "-m", "gpt2simple", "info", "tiny", "--json"], capture_output=True, check=True, text=True
    )
    return json.loads(told.stdout)


def prepare(takes, **extras):
    """Install this package and what it lacks here, and say what computes. Returns whether that is a GPU."""
    if importlib.util.find_spec("gpt2simple") is None:  # a wheel that lies beside the notebook comes first
        pip_install("--no-deps", *(sorted(map(str, Path().glob("gpt2simple-*.whl"))) or ["gpt2simple"]))
    here = facts()
    wanted = [package.strip("'") for package in here["missing"]]
    wanted += [package for module, package in extras.items() if importlib.util.find_spec(module) is None]
    if wanted:
        pip_install(*wanted)
        here = facts()
    on_gpu = not here["device"].startswith("CPU")
    print(f"Computes on: {here['device']}. Matrix products in {here['precision']}.")
    print(f"With the settings below all cells take {takes} on two CPU cores; a GPU needs less, a larger model more.")
    print("Each training says before its first step how long it will take.")
    return on_gpu


def chosen_file(choice, **examples):
    """The file that a form names: an example, "upload", which asks for one in Colab, or a path, on Google Drive too."""
    if choice == "upload":
        if not IN_COLAB:
            raise ValueError("Uploading works in Colab. Elsewhere type the path of your file into the form.")
        from google.colab import files

        return next(iter(files.upload()))
    if choice.startswith("/content/drive/") and IN_COLAB:
        from google.colab import drive

        drive.mount("/content/drive")
    return examples.get(choice, choice)


def download(path):
    """Hand a file to the browser in Colab; elsewhere it lies beside the notebook."""
    print(f"{Path(path).name}: {Path(path).stat().st_size / 1e6:.1f} MB")
    if IN_COLAB:
        from google.colab import files

        files.download(str(path))
