"""The demo from beginning to end: train eagerly, train compiled, compare, look inside, go to a chip and back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

import norse
from norse.demo import digits, nir_file, raster, report
from norse.demo.training import Prepare, Run, train
from norse.verbs import BackendName


@dataclass(frozen=True)
class Settings:
    """What can be chosen on the command line."""

    epochs: int = 5
    seed: int = 0
    backend: BackendName = "auto"
    out: Path = Path()
    samples: int | None = None  # of the data set; None takes all


def tell(settings: Settings, console: Console) -> None:
    """Runs the demo: prints what it finds, writes digits.png and digits.nir."""
    data = digits.load(settings.samples, settings.seed)
    console.print(
        f"{len(data.train_labels)} handwritten digits to learn from, {len(data.test_labels)} to test with, each shown "
        f"for {digits.encode.seq_length} ticks as Poisson spikes (torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads)"
    )

    def run(name: str, prepare: Prepare) -> Run:
        with progress_bar(console) as bar:
            task = bar.add_task(name, loss=float("nan"))
            listener = lambda step, steps, loss: bar.update(task, completed=step, total=steps, loss=loss)  # noqa: E731
            return train(data, prepare, settings.epochs, settings.seed, listener)

    eager = run("eager", lambda model: model)
    with empty_kernel_cache():
        compiled = run("compiled", partial(norse.compile, backend=settings.backend))
    console.print(report.comparison(eager, compiled))

    console.print("\nthe compiled network, print(compiled.graph):")
    plain(console, compiled.forward.graph)
    plain(console, compiled.forward.explain())

    image, label = data.test_images[0], int(data.test_labels[0])
    torch.manual_seed(settings.seed)
    spikes = digits.encode(data.test_images)
    raster.draw(compiled.model, image, spikes[:, :1], label, settings.out / "digits.png")
    kept = nir_file.spikes_kept(compiled.model, settings.out / "digits.nir", spikes)
    console.print(report.files(settings.out / "digits.png", settings.out / "digits.nir", kept))


@contextmanager
def empty_kernel_cache() -> Iterator[None]:
    """Hides the user's cache, so that the time to compile is measured when the demo runs a second time as well."""
    variables = dict(os.environ)
    with TemporaryDirectory() as folder:
        os.environ["NORSE_CACHE_DIR"] = folder
        try:
            yield
        finally:
            os.environ.pop("NORSE_CACHE_DIR")
            os.environ.update(variables)


def progress_bar(console: Console) -> Progress:
    """A line that shows how far a training is, its mean loss in this epoch, and the time it has taken."""
    return Progress(
        TextColumn("{task.description:>8}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %  loss {task.fields[loss]:.3f}"),
        TimeElapsedColumn(),
        console=console,
    )


def plain(console: Console, text: object) -> None:
    """Prints text as it is: graphs are full of brackets, which rich takes for markup."""
    console.print(str(text), markup=False, highlight=False, soft_wrap=True)
