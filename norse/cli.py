"""The `norse` command. What it needs beyond the library comes with extras, and is asked for by name if it's missing."""

import sys

EXTRAS = {"typer": "cli", "rich": "cli", "matplotlib": "demo", "sklearn": "demo"}


def main() -> None:
    """Runs the command line."""
    try:
        from norse.demo.command import app
        from norse.nir_commands import check, convert, inspect, run

        for command in (inspect, convert, run, check):
            app.command()(command)
        app()
    except ModuleNotFoundError as missing:
        if missing.name not in EXTRAS:
            raise
        sys.exit(f"norse: the package {missing.name} is missing; pip install -e '.[{EXTRAS[missing.name]}]' in a clone")
