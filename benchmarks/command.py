"""`python -m benchmarks run` and `report`."""

import json
import platform
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.contestants import COMPILED, CONTESTANTS, EAGER, FAST, LOW, ROOT, Contestant
from benchmarks.measure import Effort, Result, machine, measure
from benchmarks.workloads import LONG, MODELS, SCALING, TABLE, Workload

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(highlight=False, soft_wrap=True)


class Part(StrEnum):
    """What can be measured: benchmarks/workloads.py."""

    table = "table"
    models = "models"
    memory = "memory"
    scaling = "scaling"


# A whole run's figures are kept, a partial one's are to look at.
KEPT, PARTIAL = ROOT / "docs" / "benchmarks", ROOT / "build" / "benchmarks"
Folder = Annotated[Path | None, typer.Option(file_okay=False, help="The folder for results.json and the report.")]


@app.callback()
def benchmarks() -> None:
    """How fast norse is, beside other libraries on the same machine."""


@app.command()
def run(
    workload: Annotated[list[str] | None, typer.Option(help="Only this workload; may be repeated.")] = None,
    peer: Annotated[list[str] | None, typer.Option(help="Only this contestant; may be repeated.")] = None,
    part: Annotated[list[Part] | None, typer.Option(help="Only this part; may be repeated.")] = None,
    threads: Annotated[list[int] | None, typer.Option(min=1, help="Threads, 1 and 2 if not given.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="How many turns each contestant gets.")] = 7,
    quick: Annotated[bool, typer.Option("--quick", help="One short turn each, two threads: whether it runs.")] = False,
    out: Folder = None,
) -> None:
    """Measure, write results.json, and report: in docs/benchmarks, or in build/benchmarks what isn't a whole run."""
    out = out or (PARTIAL if workload or peer or part or threads or quick else KEPT)
    effort = Effort(rounds=1, turn=0.05) if quick else Effort(rounds=rounds)
    counts = threads or ([2] if quick else [1, 2])
    present, left_out = installed(peer)
    parts = planned(part or ([Part.table] if quick else list(Part)), workload)
    data: dict[str, Any] = {"machine": described(), "left_out": left_out, "versions": {}, "limits": {}, "results": {}}
    data["workloads"] = {each.name: each.as_json() for workloads in parts.values() for each in workloads}
    out.mkdir(parents=True, exist_ok=True)
    for count in counts:
        data["limits"][str(count)] = machine(count, effort)
        for name, workloads in parts.items():
            for each in workloads:
                console.print(f"[bold]{each.name}[/] ({each.title}), threads: {count}")
                chosen = entrants(name, each, present, data, count)
                results, versions = measure(each, chosen, count, effort, console.print)
                data["versions"] |= versions
                data["results"].setdefault(name, []).extend(result.as_json() for result in results)
                (out / "results.json").write_text(json.dumps(data, indent=1) + "\n")  # so far
    report(out)


@app.command()
def report(out: Folder = None) -> None:
    """Write the tables and plots of results.json anew, in docs/benchmarks if no other folder is named."""
    out = out or KEPT
    from benchmarks.plots import draw
    from benchmarks.report import write

    data = json.loads((out / "results.json").read_text())
    (out / "results.md").write_text(write(data))
    draw(data, out)
    console.print(f"{out / 'results.md'}")


def installed(names: list[str] | None) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants that can be run, and why the others can't."""
    wanted = [each for each in CONTESTANTS if names is None or each.name in names]
    if unknown := set(names or ()) - {each.name for each in CONTESTANTS}:
        known = ", ".join(each.name for each in CONTESTANTS)
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {known}")
    left_out = {each.name: f"{each.python()} is missing" for each in wanted if not each.python().exists()}
    for name, reason in left_out.items():
        console.print(f"{name} is left out: {reason}")
    return [each for each in wanted if each.name not in left_out], left_out


def planned(parts: list[Part], names: list[str] | None) -> dict[Part, list[Workload]]:
    """The workloads of each part."""
    all_of: dict[Part, list[Workload]] = {
        Part.table: list(TABLE),
        Part.models: list(MODELS),
        Part.memory: list(LONG),
        Part.scaling: [each for axis in SCALING.values() for each in axis],
    }
    if unknown := set(names or ()) - {each.name for workloads in all_of.values() for each in workloads}:
        known = ", ".join(each.name for workloads in all_of.values() for each in workloads)
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: not one of {known}")
    return {part: [each for each in all_of[part] if names is None or each.name in names] for part in parts}


def entrants(
    part: Part, workload: Workload, present: list[Contestant], data: dict[str, Any], threads: int
) -> list[Contestant]:
    """Who runs a workload: who has its neurons; in scaling runs ours and who was the fastest other one at W1; where
    memory is compared, ours alone."""
    if part is Part.memory:
        return [*(each for each in present if each.name == EAGER), FAST, LOW]
    able = [each for each in present if each.can({layer.model for layer in workload.layers})]
    if part is not Part.scaling:
        return able if part is Part.table else [each for each in able if each.name in (COMPILED, EAGER, "jax")]
    at_w1 = [
        Result(**result)
        for result in data["results"].get("table", ())
        if result["workload"] == "W1" and result["threads"] == threads and result["error"] is None
    ]
    others = [result for result in at_w1 if result.contestant not in (COMPILED, EAGER)]
    fastest = min(others, key=lambda result: result.median).contestant if others else "jax"
    return [each for each in able if each.name in (COMPILED, EAGER, fastest)]


def described() -> dict[str, str]:
    """The machine that the figures are of."""
    cpu = platform.processor()
    about = Path("/proc/cpuinfo")
    if about.exists():
        lines = about.read_text().splitlines()
        cpu = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), cpu)
    date = datetime.now(UTC).strftime("%Y-%m-%d")
    return {"cpu": cpu, "system": f"{platform.system()} {platform.machine()}", "python": platform.python_version()} | {
        "date": date
    }
