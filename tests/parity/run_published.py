"""Runs Norse 1.1.0 as a black box: `python run_published.py FOLDER` with the Python of its environment.

Reads FOLDER/<number>.in.npz, each the inputs of a model or a calculation with its name, and writes <number>.out.npz,
each with what was observed, or with an "error". Tracebacks would show source text of the published library, so there
are none.
"""

import sys
import warnings
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).parents[1]))  # at its end: no folder there may hide an installed package
warnings.simplefilter("ignore")
from parity import calculation, observation  # noqa: E402
from parity.calculations import CALCULATIONS  # noqa: E402
from parity.differences import DIFFERENCES  # noqa: E402
from parity.models import MODELS  # noqa: E402
from parity.observation import Arrays, values_of  # noqa: E402


def run(arrays: Arrays) -> Arrays:
    name = str(arrays.pop("name"))
    values = values_of(arrays)
    if calculated := CALCULATIONS.get(name) or DIFFERENCES.get(name):
        return calculation.observe(calculated, calculated.published or calculated.compute, values)
    model = MODELS[name]
    return observation.observe(model, (model.published or model.build)(values), values)


def main(folder: Path) -> None:
    for source in sorted(folder.glob("*.in.npz")):
        try:
            observed = run(dict(np.load(source)))
        except Exception as error:
            observed = {"error": np.array(f"{type(error).__name__}: {error}".splitlines()[0])}
        np.savez(source.with_name(source.name.replace(".in.", ".out.")), **observed)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
