"""The results as plots."""

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("agg")
from matplotlib import pyplot as plt

from benchmarks.contestants import CONTESTANTS
from benchmarks.limits import required
from benchmarks.measure import Result
from benchmarks.report import Tables, title_of
from benchmarks.workloads import SCALING


def draw(data: dict[str, Any], out: Path) -> None:
    """Writes workloads-<threads>.png, and scaling-<axis>-<threads>.png for each axis that was measured."""
    tables = Tables(data)
    for threads in tables.threads:
        workloads(tables, threads, out / f"workloads-{threads}.png")
        for axis in SCALING:
            scaling(tables, axis, threads, out / f"scaling-{axis}-{threads}.png")


def least(tables: Tables, result: Result) -> float:
    """The milliseconds that the machine needs at least for what a result's spikes require."""
    work = required(tables.workloads[result.workload], result.rates)
    return 1e3 * work.seconds(tables.data["limits"][str(result.threads)])


def workloads(tables: Tables, threads: int, file: Path) -> None:
    """Bars: the time of each contestant at each workload; a line: the machine's limit."""
    found = tables.of("table", threads)
    columns = [each for each in CONTESTANTS if any(each.name in row for row in found.values())]
    if not columns:
        return
    figure, axes = plt.subplots(figsize=(11, 4.5), layout="constrained")
    places, width = np.arange(len(found)), 0.85 / len(columns)
    for number, each in enumerate(columns):
        heights = [1e3 * row[each.name].median if each.name in row else np.nan for row in found.values()]
        axes.bar(places - 0.425 + (number + 0.5) * width, heights, width, label=each.title)
    for place, row in zip(places, found.values(), strict=True):
        level = least(tables, next(iter(row.values())))
        axes.plot([place - 0.45, place + 0.45], [level, level], "k--", label="machine's limit" if place == 0 else None)
    axes.set_yscale("log")
    axes.set_xticks(places, list(found))
    axes.set_ylabel("milliseconds")
    axes.set_title(f"Threads: {threads}")
    figure.legend(loc="outside right upper", fontsize="small")
    figure.savefig(file, dpi=120)
    plt.close(figure)


def scaling(tables: Tables, axis: str, threads: int, file: Path) -> None:
    """Lines: the time of each contestant over a size, with quartiles; the machine's limit."""
    found = {name: row for name, row in tables.of("scaling", threads).items() if name.startswith(f"{axis}=")}
    if not found:
        return
    figure, axes = plt.subplots(figsize=(5.5, 4), layout="constrained")
    values = {name: float(name.split("=")[1]) for name in found}
    for contestant in {result.contestant: None for row in found.values() for result in row.values()}:
        own = [(values[name], row[contestant]) for name, row in found.items() if contestant in row]
        xs = [value for value, _ in own]
        (line,) = axes.plot(xs, [1e3 * result.median for _, result in own], "o-", label=title_of(contestant))
        quartiles = 1e3 * np.array([result.quartiles for _, result in own])
        axes.fill_between(xs, quartiles[:, 0], quartiles[:, 1], color=line.get_color(), alpha=0.25)
    limits = [least(tables, next(iter(row.values()))) for row in found.values()]
    axes.plot(list(values.values()), limits, "k--", label="machine's limit")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(axis)
    axes.set_ylabel("milliseconds")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)
    plt.close(figure)
