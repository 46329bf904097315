"""`norse demo` on the command line."""

import os
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def norse() -> None:
    """Spiking neural networks on PyTorch, compiled."""


@app.command()
def demo(
    epochs: Annotated[int, typer.Option(min=1, help="How often each training sees all digits.")] = 5,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same digits, network and spikes.")] = 0,
    backend: Annotated[Literal["auto", "cpu", "torch"], typer.Option(help="The backend of norse.compile.")] = "auto",
    out: Annotated[Path, typer.Option(file_okay=False, help="The folder for digits.png and digits.nir.")] = Path(),
    quick: Annotated[
        bool, typer.Option("--quick", help="Only 400 digits and 2 epochs: to try whether it runs.")
    ] = False,
) -> None:
    """Train a spiking network on handwritten digits, eagerly and compiled; compare both; export it."""
    # Threads that wait shall sleep: where they spin and the cores are shared, all of torch is many times slower. OpenMP
    # reads this when torch loads it.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from norse.demo.story import Settings, tell  # here, as torch and scikit-learn take seconds to import

    out.mkdir(parents=True, exist_ok=True)
    if quick:
        settings = Settings(epochs=min(epochs, 2), seed=seed, backend=backend, out=out, samples=400)
    else:
        settings = Settings(epochs=epochs, seed=seed, backend=backend, out=out)
    tell(settings, Console())
