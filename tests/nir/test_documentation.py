"""The examples of docs/nir.md run as they stand there."""

import re
import warnings
from pathlib import Path

import nir

PAGE = (Path(__file__).parents[2] / "docs" / "nir.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TOOLS = ("norse", "snntorch", "sinabs", "rockpool", "spyx")


def test_the_examples_run(tmp_path, monkeypatch, capsys):
    """From top to bottom, as a reader would: later ones use names of earlier ones. Each tool has a model."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # one spike a tick, where tools have several
        for example in EXAMPLES:
            exec(compile(example, "docs/nir.md", "exec"), names)
    said = capsys.readouterr().out
    for tool in TOOLS:
        assert (tmp_path / f"{tool}.nir").exists()
        assert re.search(rf"^{tool} 64 ticks: [1-9]\d* spikes, all equal", said, re.MULTILINE)
    kinds = [type(node) for node in nir.read(tmp_path / "speck.nir").nodes.values()]
    assert kinds.count(nir.IF) == 2
