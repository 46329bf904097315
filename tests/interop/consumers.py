"""Other libraries in environments of their own: given our files, and asked for theirs."""

import os
import subprocess
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import norse
import norse.torch as snn
from norse.backends.nir_export.dialects import DIALECTS

from .cases import Case

SCRIPT = Path(__file__).with_name("run_consumer.py")
DT = 1e-3
# consumer -> its dialect, the folder of its environment
CONSUMERS: Mapping[str, tuple[str, str]] = {
    "snntorch": ("snntorch", ".venv-snntorch"),
    "sinabs": ("sinabs", ".venv-sinabs"),
    "rockpool": ("rockpool", ".venv-rockpool"),
    "norse": ("norse", ".venv-norse-1.1"),
    "spyx": ("spyx", ".venv-spyx"),
    "nirtorch": ("nir", ".venv-nirtorch"),
}
NEURONS_LATE = {"spyx"}  # each layer of neurons fires a tick late


@dataclass(frozen=True)
class Result:
    """What came of a file in a consumer."""

    text: str
    equal: bool


def python(consumer: str) -> Path | None:
    """The Python of its environment, in the folder that NORSE_INTEROP names."""
    folder = os.environ.get("NORSE_INTEROP")
    found = Path(folder) / CONSUMERS[consumer][1] / "bin" / "python" if folder else None
    return found if found is not None and found.exists() else None


def run(consumer: str, folder: Path, what: str) -> None:
    """Its environment's Python runs all files of a folder; what went wrong is in files beside them."""
    command = [str(python(consumer)), "-I", str(SCRIPT), consumer, str(folder), what]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")


def give(consumer: str, cases: Mapping[str, Case], dialect: str | None = None) -> dict[str, Result]:
    """Writes each network in the consumer's dialect, or another, and compares what comes of it there with ours."""
    dialect = dialect or CONSUMERS[consumer][0]
    reset = DIALECTS[dialect].reset
    results, models = dict[str, Result](), dict[str, Any]()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name, case in cases.items():
            models[name], x = case.model(reset), case.spikes()
            np.save(folder / f"{name}.npy", x)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # several spikes a tick: said by the table
                try:
                    example, file = torch.from_numpy(x)[:, None], folder / f"{name}.nir"
                    norse.to_nir(snn.Lift(models[name]), file, example_input=example, dialect=dialect)
                except ValueError as error:
                    results[name] = Result(f"refused: {str(error).removeprefix('norse.to_nir: Lift: ')}", False)
        step = DIALECTS[dialect].dt or DT
        run(consumer, folder, str(step))
        for name, case in cases.items():
            if name not in results:
                results[name] = _compared(consumer, folder / name, models[name], case)
    return {name: results[name] for name in cases}


def _compared(consumer: str, file: Path, model: Any, case: Case) -> Result:
    error = file.with_name(f"{file.name}.error")
    if error.exists():
        return Result(f"does not run it: {error.read_text().splitlines()[0][:120]}", False)
    theirs = np.load(file.with_name(f"{file.name}.out.npy"))
    with torch.no_grad():
        result = snn.Lift(model)(torch.from_numpy(case.spikes())[:, None])
    ours = (result[0] if isinstance(result, tuple) else result)[:, 0].numpy()
    if set(np.unique(ours)) <= {0.0, 1.0}:
        assert 0.01 < ours.mean() < 0.99, f"{file.name}: a network that never fires, or always, says nothing"
    if consumer in NEURONS_LATE:
        late = sum(
            isinstance(module, snn.Threshold) or hasattr(getattr(module, "p", None), "v_th")
            for module in model.modules()
        )
        ours, theirs = ours[: len(ours) - late], theirs[late:]
    return compared(ours, theirs)


def compared(ours: Any, theirs: Any) -> Result:
    """Spikes must be equal; potentials and currents within rounding."""
    if ours.shape != theirs.shape:
        return Result(f"gives shape {list(theirs.shape)} for {list(ours.shape)}", False)
    if (ours == np.round(ours)).all() and ours.min() >= 0:  # spikes, or how many there were in a tick
        if (theirs != np.round(theirs)).any():
            off = np.abs(ours - theirs)
            tick = int(np.argmax(off.reshape(len(off), -1).max(1) > 1e-5))
            return Result(f"no spikes there but analog values: differs from tick {tick} on by {off.max():.3g}", False)
        wrong = ours != theirs
        if not wrong.any():
            return Result(f"equal, {int(ours.sum())} spikes", True)
        tick = int(np.argmax(wrong.reshape(len(wrong), -1).any(1)))
        share = 100 * float(np.mean(~wrong))
        return Result(
            f"differs from tick {tick} on: {int(ours.sum())} spikes, {theirs.sum():.6g} there ({share:.0f} % equal)",
            False,
        )
    off = float(np.abs(ours - theirs).max())
    if off <= 1e-5 * float(np.abs(ours).max()):
        return Result(f"equal within {off:.1g}" if off else "equal", True)
    tick = int(np.argmax(np.abs(ours - theirs).reshape(len(ours), -1).max(1) > 1e-5))
    return Result(f"differs from tick {tick} on by {off:.3g}", False)


def take(consumer: str) -> Iterator[tuple[str, Result]]:
    """The consumer's own networks, read in its dialect, against what it computed of them."""
    dialect = CONSUMERS[consumer][0]
    fixed = DIALECTS[dialect].dt
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        run(consumer, folder, "own")
        for output in sorted(folder.glob("*.out.npy")):
            file = folder / f"{output.name.removesuffix('.out.npy')}.nir"
            yield file.stem, _taken(file, np.load(output), dialect, fixed or DT)
        for error in sorted(folder.glob("*.error")):
            yield error.stem, Result(f"it can't write it: {error.read_text().splitlines()[0][:120]}", False)


def _taken(file: Path, theirs: Any, dialect: Any, dt: float) -> Result:
    x = torch.from_numpy(np.load(file.with_suffix(".npy")))[:, None]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # an Input or Output that counts a batch
        try:
            ours, _ = snn.Lift(norse.from_nir(file, dt=dt, dialect=dialect))(x)
        except ValueError as error:
            return Result(f"refused: {str(error).removeprefix(f'norse.from_nir: {file}: ')}", False)
    if not theirs.any():
        return Result("it never fires", False)
    return compared(ours[:, 0].numpy(), theirs)
