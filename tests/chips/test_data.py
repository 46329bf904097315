"""The data of chips: every number has a unit and a source, every limit is compared, and the page shows them."""

import tomllib
from pathlib import Path

import pytest

from norse.backends.chips import page
from norse.backends.chips.checks import CHECKS
from norse.backends.chips.chip import read_chip, targets
from norse.backends.nir_export.dialects import DIALECTS

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "backends" / "chips" / "data").glob("*.toml"))


def test_there_are_the_chips_that_are_promised():
    assert {"speck", "xylo", "loihi2", "spinnaker2", "brainscales2"} <= set(targets())
    assert [file.stem for file in FILES] == list(targets())


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_number_has_a_unit_and_a_source(file):
    data = tomllib.loads(file.read_text())
    assert data["name"] and data["maker"] and data["tool"]
    assert data.get("dialect", "sinabs") in DIALECTS
    for name, limit in data["limits"].items():
        assert limit["value"] not in ("", [], None), name
        assert limit["unit"] and limit["section"], name
        assert limit["source"] in data["sources"], name
    for source in data["sources"].values():
        assert source["url"].startswith("https://") and source["title"]
    for entry in data["unchecked"]:
        assert entry["what"] and entry["why"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_source_is_used_and_every_limit_compared(file):
    data = tomllib.loads(file.read_text())
    assert {limit["source"] for limit in data["limits"].values()} == set(data["sources"])
    assert set(data["limits"]) <= set(CHECKS)


@pytest.mark.parametrize("target", targets())
def test_a_chip_is_read_with_its_sources(target):
    chip = read_chip(target)
    assert chip.target == target
    assert all(limit.source.url for limit in chip.limits.values())


def test_the_page_shows_the_data():
    text = (ROOT / "docs" / "chips.md").read_text()
    assert text == page.with_tables(text), "python -m norse.backends.chips.page docs/chips.md writes it"
    assert page.tables() in text
