"""Calls the `norse` command as a shell would, in this process."""

from typing import Any

import typer
from typer.testing import CliRunner

from norse.nir_commands import check, convert, inspect, run

APP = typer.Typer()
for _command in (inspect, convert, run, check):
    APP.command()(_command)


def call(*arguments: Any, code: int = 0) -> str:
    """What `norse ARGUMENTS...` prints, on a terminal 160 columns wide; it must end with this exit code."""
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "160"})
    assert result.exit_code == code, result.output
    return result.output
