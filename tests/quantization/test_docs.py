"""The example of docs/quantization.md runs as it stands there."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch

PAGE = (Path(__file__).parents[2] / "docs" / "quantization.md").read_text()


def test_the_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(example, "quantization.md", "exec"), names)
    assert (tmp_path / "network.nir").exists()
    assert type(names["plain"]).__name__ == "SequentialState"
    weights: Any = names["weights"]
    assert list(weights) == ["0.weight", "2.weight"]
    assert torch.equal(names["weight"], weights["0.weight"].integers * weights["0.weight"].scale)  # type: ignore[arg-type]
    assert names["bias"] is not None
