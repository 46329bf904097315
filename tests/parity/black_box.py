"""Norse 1.1.0 in an environment of its own, whose Python the environment variable NORSE_1_1_PYTHON names."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from .observation import Arrays

Key = TypeVar("Key")

SCRIPT = Path(__file__).with_name("run_published.py")
VERSION = "import importlib.metadata; print(importlib.metadata.version('norse'))"


def why_missing() -> str | None:
    """The reason why there is nothing to compare with, if there is one."""
    python = os.environ.get("NORSE_1_1_PYTHON")
    if not python:
        return "NORSE_1_1_PYTHON is not set: `make parity` installs norse 1.1.0 and compares with it"
    try:
        asked = subprocess.run([python, "-I", "-c", VERSION], capture_output=True, text=True)
    except OSError as error:
        return f"NORSE_1_1_PYTHON={python} cannot be run: {error.strerror}"
    if asked.stdout.strip() != "1.1.0":
        return f"NORSE_1_1_PYTHON={python} has norse {asked.stdout.strip() or '(none)'}, not 1.1.0"
    return None


def skip_without() -> None:
    """Skips the module that calls it if there is nothing to compare with."""
    if reason := why_missing():
        pytest.skip(reason, allow_module_level=True)


def observe_published(folder: Path, runs: Mapping[Key, Arrays]) -> dict[Key, Arrays]:
    """Hands inputs to the published library in one process, and returns what it observed.

    Args:
        folder: an empty one, for the files that go to and fro.
        runs: inputs by any keys.

    Returns:
        The observations, by the same keys.

    Raises:
        RuntimeError: if the process fails as a whole; of one run that fails, "error" is the only observation.
    """
    for number, arrays in enumerate(runs.values()):
        np.savez(folder / f"{number}.in.npz", **arrays)  # type: ignore[arg-type]
    # -E: a PYTHONPATH may lead to our norse, which has the same import name.
    process = subprocess.run(
        [os.environ["NORSE_1_1_PYTHON"], "-E", str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if process.returncode:
        raise RuntimeError(f"{SCRIPT.name}: {process.stderr.strip().splitlines()[-1]}")
    return {key: dict(np.load(folder / f"{number}.out.npz")) for number, key in enumerate(runs)}


def checked(observed: Arrays) -> Arrays:
    """What was observed; the test fails if that is an error."""
    if "error" in observed:
        pytest.fail(f"norse 1.1.0 raises {observed['error']}")
    return observed
