"""`norse inspect`, `norse convert`, `norse run` and `norse check`: NIR files on the command line."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from norse.backends.nir_export.dialect_names import DialectName

if TYPE_CHECKING:
    from norse.backends.nir_export import Description

File = Annotated[Path, typer.Argument(help="A NIR file.", show_default=False)]
TimeStep = Annotated[float | None, typer.Option(help="Time step in s; else the file's, or 0.001.", show_default=False)]
Reset = Annotated[
    Literal["zero", "subtract"] | None,
    typer.Option(help="What a spike does to the membrane; else as the file's tool means it.", show_default=False),
]
From = Annotated[
    DialectName | None,
    typer.Option("--from", help="The tool that wrote it; else as the file says.", show_default=False),
]


def inspect(file: File, written_by: From = None) -> None:
    """Show what is in a NIR file: nodes, shapes, parameters, and a picture of the graph."""
    console = Console()
    with _errors(console):
        from norse.backends.nir_export import describe  # here, as torch takes seconds to import

        found = describe(file, written_by)
        table = Table(title=escape(str(file)), title_justify="left")
        for column in ("node", "primitive", "shape", "parameters"):
            table.add_column(column)
        for node in found.nodes:
            shape = "?" if node.shape is None else "×".join(map(str, node.shape)) or "one number"
            parameters = ", ".join(f"{name} {text}" for name, text in node.parameters.items())
            table.add_row(escape(node.name), node.primitive, shape, escape(parameters))
        console.print(table)
        for line in picture(found):
            console.print(Text(line))
        numbers = sum(node.numbers for node in found.nodes)
        said = ", ".join(f"{key}: {value}" for key, value in found.metadata.items())
        console.print(f"{len(found.nodes)} nodes, {len(found.edges)} edges, {numbers} numbers", highlight=False)
        console.print(Text(f"metadata: {said or 'none'}"))
        console.print(Text(found.read_as))
        if found.doubt:
            console.print(Text(f"doubtful: {found.doubt}", style="yellow"))
        for repair in found.repairs:
            console.print(Text(f"repaired: {repair}", style="yellow"))
        if found.problem is not None:
            console.print(Text(f"can't be run: {found.problem}", style="red"))
            raise typer.Exit(1)


def convert(
    file: File,
    target: Annotated[Path, typer.Argument(help="The file to write.", show_default=False)],
    dt: TimeStep = None,
    reset: Reset = None,
    written_by: From = None,
    to: Annotated[DialectName, typer.Option("--to", help="The tool that is to run it.")] = "nir",
) -> None:
    """Read a NIR file, repair it where need be, and write it anew: explicit shapes, arrays, proven by a run."""
    console = Console()
    with _errors(console), _warnings(console):
        import torch

        import norse
        from norse.backends.nir_export import describe

        model = norse.from_nir(file, dt=dt, reset=reset, dialect=written_by)
        dtype = _dtype(model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said above
            found = describe(file, written_by)
            inputs = {name: torch.zeros(1, *shape, dtype=dtype) for name, shape in found.inputs.items()}
        console.print(Text(found.read_as))
        example: Any = inputs if len(inputs) > 1 else next(iter(inputs.values()))
        graph: Any = norse.to_nir(
            model.to(dtype), target, example_input=example, dt=dt if to == "nir" else None, dialect=to
        )
        console.print(Text(f"{target}: {len(graph.nodes)} nodes. {graph.verification}"))


def run(
    file: File,
    inputs: Annotated[
        list[str],
        typer.Option("--input", help="A .npy file [T, ...] or [T, B, ...]; NAME=FILE for each of several inputs."),
    ],
    output: Annotated[Path | None, typer.Option(help="Where to write what comes out, as .npy.")] = None,
    dt: TimeStep = None,
    reset: Reset = None,
    written_by: From = None,
) -> None:
    """Run a NIR file on spikes, compiled, and count what comes out."""
    console = Console()
    with _errors(console), _warnings(console):
        import numpy as np

        import norse
        import norse.torch as snn
        from norse.backends.nir_export import describe

        _check_files(inputs, output)
        read = norse.from_nir(file, dt=dt, reset=reset, dialect=written_by)
        dtype = _dtype(read)
        model = norse.compile(snn.Lift(read.to(dtype)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = describe(file, written_by)
            shapes = found.inputs
        console.print(Text(found.read_as))
        values, batched = _inputs(inputs, shapes, dtype)
        with_state: Any = model(values if len(shapes) > 1 else next(iter(values.values())))
        result = with_state[0] if isinstance(with_state, tuple) else with_state
        results = result if isinstance(result, dict) else {"output": result}
        for name, value in results.items():
            _print_result(console, name, value)
            if output is not None:
                place = output if len(results) == 1 else output.with_name(f"{output.stem}_{name}{output.suffix}")
                array = value.detach().numpy()
                with place.open("wb") as out:
                    np.save(out, array if batched else array[:, 0], allow_pickle=False)
                console.print(Text(f"written: {place}"))


def check(
    file: File,
    target: Annotated[str | None, typer.Option(help="The chip; else all, in a table.", show_default=False)] = None,
    dt: TimeStep = None,
    reset: Reset = None,
    written_by: From = None,
    json: Annotated[bool, typer.Option("--json", help="The reports as JSON.")] = False,
) -> None:
    """Compare a NIR file with what a chip has. The exit code is 1 if it does not fit (without --target: fits none)."""
    console = Console()
    with _errors(console), _warnings(Console(stderr=True)):
        from norse.backends.chips import compared, network_of, read_chip, targets

        if target is not None and target not in targets():
            raise ValueError(f"norse check: --target: expected one of {', '.join(targets())}, got {target!r}")
        network = network_of(file, dt=dt, reset=reset, dialect=written_by)
        reports = [compared(network, read_chip(name)) for name in (targets() if target is None else (target,))]
        if json:
            print(dumps([report.as_dict() for report in reports] if target is None else reports[0].as_dict()))
        elif target is not None:
            console.print(Text(str(reports[0])), soft_wrap=True)
        else:
            table = Table(title=escape(str(file)), title_justify="left")
            for column in ("target", "chip", "fits", "what does not"):
                table.add_column(column)
            for report in reports:
                failing = dict.fromkeys(row.limit.replace("_", " ") for row in report.misfits)
                table.add_row(report.target, report.chip, "yes" if report.fits else "no", ", ".join(failing))
            console.print(table)
            console.print(Text(network.read_as))
            if network.doubt:
                console.print(Text(f"doubtful: {network.doubt}", style="yellow"))
    if not any(report.fits for report in reports):
        raise typer.Exit(1)


def picture(found: "Description") -> Iterator[str]:
    """The graph as lines of text: a chain goes down, branches are indented, edges that wait a tick are dotted.

    Args:
        found: a described file.

    Example:
        >>> from norse.backends.nir_export import Description, NodeDescription
        >>> nodes = tuple(NodeDescription(name, kind, (2,), {}, 0) for name, kind in
        ...               (("in", "Input"), ("lif", "LIF"), ("w", "Linear"), ("out", "Output")))
        >>> edges = (("in", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "out"))
        >>> for line in picture(Description(nodes, edges, frozenset({("lif", "w")}), {})):
        ...     print(line)
        in  Input
        │
        lif  LIF
        ├┄┄ a tick later
        │   w  Linear
        │   │
        │   lif (above)
        └──
            out  Output
    """
    kinds = {node.name: node.primitive for node in found.nodes}
    seen: set[str] = set()
    starts = [node.name for node in found.nodes if node.primitive == "Input"] or list(kinds)[:1]
    todo = [(name, "", "", "") for name in reversed(starts)]
    while todo:
        name, indent, before, after = todo.pop()
        if before:
            yield indent + before
        inner = indent + after
        if name in seen:
            yield f"{inner}{name} (above)"
            continue
        seen.add(name)
        yield f"{inner}{name}  {kinds.get(name, 'missing')}"
        targets = [(b, (a, b) in found.waiting) for a, b in found.edges if a == name]
        if len(targets) == 1:
            target, waits = targets[0]
            todo.append((target, inner, "┆ a tick later" if waits else "│", ""))
            continue
        for place, (target, waits) in reversed(list(enumerate(targets))):
            last = place == len(targets) - 1
            branch = ("└" if last else "├") + ("┄┄ a tick later" if waits else "──")
            todo.append((target, inner, branch, "    " if last else "│   "))


def _dtype(model: Any) -> Any:
    """What a model computes in: float32, or float64 where any of its numbers is, as nir's are by default."""
    import torch

    dtype = torch.float32
    for tensor in (*model.parameters(), *model.buffers()):
        dtype = torch.promote_types(dtype, tensor.dtype) if tensor.is_floating_point() else dtype
    return dtype


def _check_files(given: list[str], output: Path | None) -> None:
    """That inputs are there and outputs can be written is seen before a network is read and run."""
    for text in given:
        file = Path(text.rpartition("=")[2])
        if not file.is_file():
            reason = "is a directory" if file.is_dir() else "no such file"
            raise ValueError(f"norse run: --input: {file}: {reason}")
    if output is not None and output.is_dir():
        raise ValueError(f"norse run: --output: {output}: is a directory")
    if output is not None and not output.parent.is_dir():
        raise ValueError(f"norse run: --output: {output}: no such directory as {output.parent}")


def _inputs(given: list[str], shapes: Any, dtype: Any) -> tuple[dict[str, Any], bool]:
    """By the names of the Input nodes, [T, B, ...]; and whether the files had a batch."""
    import numpy as np
    import torch

    values, batched = {}, True
    for text in given:
        name, _, file = text.rpartition("=")
        name = name or next(iter(shapes))
        if name not in shapes:
            raise ValueError(
                f"norse run: --input: expected one of {', '.join(shapes)} as the input's name, got {name!r}"
            )
        try:
            array = np.load(file, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise ValueError(f"norse run: --input: {file}: expected an array in .npy format: {error}") from error
        shape = shapes[name]
        if array.dtype.kind not in "fiub" or tuple(array.shape[-len(shape) :]) != shape:
            raise ValueError(
                f"norse run: --input: {file}: expected numbers [T, {', '.join(map(str, shape))}] or [T, B, ...], "
                f"got {array.dtype} {list(array.shape)}"
            )
        if array.ndim not in (len(shape) + 1, len(shape) + 2):
            raise ValueError(f"norse run: --input: {file}: expected ticks in front, got {list(array.shape)}")
        batched = array.ndim == len(shape) + 2
        tensor = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64)).to(dtype)
        values[name] = tensor if batched else tensor[:, None]
    if values.keys() != set(shapes):
        missing = ", ".join(sorted(set(shapes) - set(values)))
        raise ValueError(f"norse run: --input: expected a file for each input, none for {missing}")
    return {name: values[name] for name in shapes}, batched


def _print_result(console: Console, name: str, value: Any) -> None:
    ticks, samples = value.shape[:2]
    features = "×".join(map(str, value.shape[2:]))
    head = f"{name}: {ticks} ticks, {samples} sample{'s' if samples != 1 else ''}, {features} outputs; "
    if bool(((value == 0) | (value == 1)).all()):
        counts = value.sum((0, 1)).flatten()
        busiest = ", ".join(f"{int(k)}: {int(counts[k])}" for k in counts.argsort(descending=True)[:5])
        console.print(Text(f"{head}{int(counts.sum())} spikes; most of output {busiest}"))
    else:
        console.print(Text(f"{head}values {value.min().item():.4g}..{value.max().item():.4g}"))


@contextmanager
def _errors(console: Console) -> Iterator[None]:
    """What is wrong with a file or an argument is a message and exit code 1, without a traceback."""
    try:
        yield
    except (OSError, ValueError) as error:
        console.file = sys.stderr
        console.print(Text(str(error), style="red"))
        raise typer.Exit(1) from error


@contextmanager
def _warnings(console: Console) -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        console.print(Text(message, style="yellow"))
