"""`norse demo` runs from beginning to end, reports what it measured, and says plainly what it missed."""

import re
import sys
from dataclasses import replace
from pathlib import Path

import nir
import pytest
import torch
from rich.console import Console
from typer.testing import CliRunner

import norse
import norse.cli
from norse.demo import digits, network, nir_file, report, training
from norse.demo.command import app

GOOD = training.Run(
    model=network.network(),
    forward=None,
    loss=0.1,
    accuracy=0.95,
    firing_rates={"LIF": 0.05, "LIFRecurrent": 0.1},
    seconds_per_epoch=1.0,
    seconds_of_first_call=0.1,
)


def rendered(eager: training.Run, compiled: training.Run) -> str:
    console = Console(width=120)
    with console.capture() as capture:
        console.print(report.comparison(eager, compiled))
    return capture.get()


@pytest.fixture(scope="module")
def few_digits() -> digits.Digits:
    return digits.load(samples=100, seed=0)


def test_the_quick_demo_runs_and_writes_its_files(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["demo", "--quick", "--out", str(tmp_path / "new")], catch_exceptions=False)
    assert result.exit_code == 0
    losses = re.search(r"training loss.*?([\d.]+) .*?([\d.]+)", result.output)
    assert losses and float(losses[1]) == pytest.approx(float(losses[2]), rel=0.05)
    for measured in ("test accuracy", "firing rate, LIFRecurrent", "seconds per epoch", "times as fast as eager"):
        assert measured in result.output
    assert "graph(" in result.output
    assert "✓ ≥ 99.9%" in result.output  # the spikes of the network that was read back
    assert (tmp_path / "new" / "digits.png").read_bytes().startswith(b"\x89PNG")
    assert len(nir.read(tmp_path / "new" / "digits.nir").nodes) > 4


def test_the_same_seed_trains_the_same_network(few_digits: digits.Digits) -> None:
    first, second = (training.train(few_digits, lambda model: model, 1, 3, lambda *_: None) for _ in range(2))
    assert first.loss == second.loss
    assert all(map(torch.equal, first.model.parameters(), second.model.parameters()))


def test_another_seed_trains_another_network(few_digits: digits.Digits) -> None:
    first, second = (training.train(few_digits, lambda model: model, 1, seed, lambda *_: None) for seed in (3, 4))
    assert first.loss != second.loss


def test_the_share_of_kept_spikes_is_whole_for_the_same_network(few_digits: digits.Digits, tmp_path: Path) -> None:
    torch.manual_seed(0)
    spikes = digits.encode(few_digits.test_images)
    assert nir_file.spikes_kept(network.network(), tmp_path / "digits.nir", spikes) == 1.0


def test_the_share_of_kept_spikes_tells_another_network(
    few_digits: digits.Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    other = norse.from_nir(norse.to_nir(network.network()))
    monkeypatch.setattr(norse, "from_nir", lambda file: other)
    spikes = digits.encode(few_digits.test_images)
    assert nir_file.spikes_kept(network.network(), tmp_path / "digits.nir", spikes) < 0.9


def test_reached_targets_are_ticked() -> None:
    text = rendered(GOOD, replace(GOOD, seconds_per_epoch=0.4))
    assert text.count("✓") == 4 and "missed" not in text
    assert "2.5" in text  # times as fast


@pytest.mark.parametrize(
    ("change", "row"),
    [
        ({"accuracy": 0.92}, "test accuracy"),
        ({"firing_rates": {"LIF": 0.05, "LIFRecurrent": 0.31}}, "firing rate, LIFRecurrent"),
        ({"firing_rates": {"LIF": 0.009, "LIFRecurrent": 0.1}}, "firing rate, LIF"),
        ({"seconds_per_epoch": 0.6}, "times as fast"),
    ],
)
def test_a_missed_target_is_told_in_its_row(change: dict[str, object], row: str) -> None:
    text = rendered(GOOD, replace(GOOD, **({"seconds_per_epoch": 0.4} | change)))  # type: ignore[arg-type]
    (missed,) = (line for line in text.splitlines() if "missed" in line)
    assert row in missed


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--backend", "gpu"], "'auto', 'cpu', 'torch'"),
        (["--epochs", "0"], "greater than or equal to 1"),
        (["--seed", "-1"], "greater than or equal to 0"),
        (["--out", __file__], "is a file"),
    ],
)
def test_a_bad_option_is_refused_with_its_reason(options: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["demo", *options])
    assert result.exit_code == 2
    assert options[0] in result.output
    assert complaint in re.sub(r"[│\s]+", " ", result.output)  # as one line, without the frame around it


class Missing:
    """Lets a package be found nowhere, as if it were not installed."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


@pytest.mark.parametrize(("package", "extra"), norse.cli.EXTRAS.items())
def test_a_missing_extra_is_asked_for_by_name(package: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(sys.modules):
        if name.startswith("norse.demo") or name.split(".")[0] == package:
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Missing(package), *sys.meta_path])
    monkeypatch.setattr(sys, "argv", ["norse", "demo"])
    with pytest.raises(SystemExit) as stopped:
        norse.cli.main()
    assert f"the package {package} is missing; pip install -e '.[{extra}]' in a clone" in str(stopped.value)
