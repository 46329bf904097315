"""The examples of the documentation's pages run as they stand there, and print what their comments say."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PRINTED = re.compile(r"^print\(.*\)\n((?:# .*\n)+)", re.MULTILINE)


@pytest.mark.filterwarnings("ignore:norse.to_nir. .* fires several spikes")
@pytest.mark.parametrize("page", ["chips.md", "nir.md"])
def test_the_examples_of(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From top to bottom; ... in a comment stands for anything, and lines between those of a comment are left out."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert blocks
    told = 0
    for block in blocks:
        start = 0
        for found in (*PRINTED.finditer(block), None):
            end = len(block) if found is None else found.end()
            capsys.readouterr()
            exec(compile(block[start:end], page, "exec"), names)
            printed = capsys.readouterr().out.splitlines()
            for line in [] if found is None else found[1].splitlines():
                pattern = re.escape(line.removeprefix("# ")).replace(r"\.\.\.", ".*")
                assert any(re.fullmatch(pattern, actual) for actual in printed), (line, printed)
                told += 1
            start = end
    assert told
