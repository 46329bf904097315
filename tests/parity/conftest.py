"""After the tests: one line a comparison."""

import pytest

MARK = "parity: "


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for outcome in ("passed", "failed") for report in terminalreporter.getreports(outcome)]
    lines: dict[str, list[str]] = {}
    for name, text in (item for report in reports for item in report.user_properties):
        if name.startswith(MARK):
            lines.setdefault(name.removeprefix(MARK), []).append(str(text))
    if lines:
        terminalreporter.section("compared with norse 1.1.0 (differences relative to the largest value)")
        terminalreporter.write_line("\n".join(f"{name}: {', '.join(texts)}" for name, texts in lines.items()))
