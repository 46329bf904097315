"""The README's examples run as they stand there."""

import re
from pathlib import Path

import pytest

import norse.torch as snn

from .torch.neurons import FORMS

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_readme_has_examples() -> None:
    assert EXAMPLES


def test_the_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From top to bottom, as a reader would: later ones use names of earlier ones."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), names)
    assert names["loss"] < 0.3  # type: ignore[operator]  # guessing would give 0.69


def test_the_table_of_forms_names_every_class_of_neurons_and_no_other() -> None:
    models = set(re.findall(r"`(\w+)`", README.split("| models | what they add |")[1].split("\n\n")[0]))
    rows = README.split("| model | cell,")[1].split("\n\n")[0].splitlines()[2:]
    named = {model for row in rows[1:] for model in re.findall(r"`(\w+)`", row.split("|")[1])}
    told = {name for row in rows[1:] for cell in row.split("|")[2:] for name in re.findall(r"`(\w+)`", cell)}
    told |= {model + form for model in models - named for form in ("Cell", "", "RecurrentCell", "Recurrent")}
    told |= {"LIBoxCell", "LIBox"}  # as LI
    neurons = {form.name for form in FORMS} | {"LIFCorrelation"}
    assert named <= models
    assert told == neurons
    assert all(hasattr(snn, name) for name in told)
