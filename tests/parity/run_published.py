"""Runs Norse 1.1.0 as a black box: `python run_published.py FOLDER` with the Python of its environment.

Reads FOLDER/<number>.in.npz, each the inputs of a model of `models.py` with its name, and writes <number>.out.npz,
each with what was observed, or with an "error". Tracebacks would show source text of the published library, so there
are none.
"""

import sys
from pathlib import Path

import numpy as np
from models import MODELS, Arrays, observe, values_of


def run(arrays: Arrays) -> Arrays:
    model, values = MODELS[str(arrays.pop("model"))], values_of(arrays)
    module = (model.published or model.build)(values)
    return observe(model, module, values)


def main(folder: Path) -> None:
    for source in sorted(folder.glob("*.in.npz")):
        try:
            observed = run(dict(np.load(source)))
        except Exception as error:
            observed = {"error": np.array(f"{type(error).__name__}: {error}".splitlines()[0])}
        np.savez(source.with_name(source.name.replace(".in.", ".out.")), **observed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
