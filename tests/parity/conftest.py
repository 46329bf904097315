"""After the tests: what was compared."""

import pytest

from .report import Comparison, table


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    properties = [value for report in reports for _, value in report.user_properties]
    if compared := [value for value in properties if isinstance(value, Comparison)]:
        terminalreporter.section("compared with norse 1.1.0 (differences relative to the largest value)")
        terminalreporter.write_line("\n".join(table(compared)))
