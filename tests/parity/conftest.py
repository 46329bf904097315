"""One thread for both libraries, and after the tests: what was compared."""

from collections.abc import Iterator

import pytest
import torch

from .report import Comparison, table


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Iterator[None]:
    """torch's convolutions sum in an order that depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    properties = [value for report in reports for _, value in report.user_properties]
    if compared := [value for value in properties if isinstance(value, Comparison)]:
        terminalreporter.section("compared with norse 1.1.0 (differences relative to the largest value)")
        terminalreporter.write_line("\n".join(table(compared)))
