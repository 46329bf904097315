"""What the project says to install: from a clone, as `norse` in the package index is another project."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PLACES = [ROOT / name for name in ("norse", "compiler", "backends", "docs", "README.md", "CONTRIBUTING.md")]


def test_no_file_says_to_install_norse_from_the_package_index() -> None:
    files = [file for place in PLACES for file in ([place] if place.is_file() else place.rglob("*.*"))]
    texts = {str(file.relative_to(ROOT)): file.read_text() for file in files if file.suffix in (".py", ".md")}
    assert len(texts) > 100
    wrong = re.compile(r"""install (--\S+ )*['"]?norse\b|norse\[""")
    assert [name for name, text in texts.items() if wrong.search(text)] == []
