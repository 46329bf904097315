"""The results as Markdown."""

from collections.abc import Callable, Iterable
from typing import Any

from benchmarks.contestants import COMPILED, CONTESTANTS, EAGER, FAST, LOW, Contestant
from benchmarks.limits import required
from benchmarks.measure import Result
from benchmarks.workloads import SCALING, Workload

Cell = Callable[[Workload, Result], str]


def write(data: dict[str, Any]) -> str:
    """Tables of everything that was measured."""
    tables = Tables(data)
    text = ["# Results", "", tables.about(), ""]
    for threads in tables.threads:
        text += [f"## {threads} {'thread' if threads == 1 else 'threads'}", ""]
        text += tables.main(threads) + tables.ratios(threads) + tables.models(threads)
        text += tables.memory(threads) + tables.scaling(threads)
    return "\n".join(text + tables.notes()).rstrip() + "\n"


class Tables:
    """The tables of one results.json."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.data = data
        self.workloads = {name: Workload.from_json(fields) for name, fields in data["workloads"].items()}
        self.results = {part: [Result(**fields) for fields in found] for part, found in data["results"].items()}
        self.threads = sorted({result.threads for found in self.results.values() for result in found})

    def of(self, part: str, threads: int) -> dict[str, dict[str, Result]]:
        """The results of a part that succeeded, by workload and contestant."""
        found: dict[str, dict[str, Result]] = {}
        for result in self.results.get(part, ()):
            if result.threads == threads and result.error is None:
                found.setdefault(result.workload, {})[result.contestant] = result
        return found

    def about(self) -> str:
        machine = self.data["machine"]
        ceilings = "; ".join(
            f"{threads} thread{'s' if threads != '1' else ''}: "
            f"sgemm {' and '.join(f'{limit[name] / 1e9:.0f}' for name in ('gemm', 'onednn') if name in limit)} GF/s "
            f"(torch.mm, oneDNN), copy {limit['copy'] / 1e9:.1f} GB/s"
            for threads, limit in self.data["limits"].items()
        )
        versions = sorted(
            {f"{name} {number}" for found in self.data["versions"].values() for name, number in found.items()}
        )
        return (
            f"{machine['date']}, {machine['cpu']}, {machine['system']}, Python {machine['python']}. {ceilings}.\n"
            f"{', '.join(versions)}."
        )

    def main(self, threads: int) -> list[str]:
        found = self.of("table", threads)
        text = self.grid("Milliseconds, median (quartiles). Bold: the fastest.", found, self.time)
        text += self.grid("Most memory of a call, MiB.", found, lambda _, result: mebibytes(result.peak_bytes))
        text += self.grid(
            "First call, seconds: what is compiled is built here.", found, lambda _, r: f"{r.first_call:.2f}"
        )
        return text + self.grid(
            "Firing, % of the neurons of each spiking layer in a tick.", found, lambda _, r: percent(r.rates)
        )

    def time(self, workload: Workload, result: Result) -> str:
        low, high = result.quartiles
        times = self.of("table", result.threads)[workload.name].values()
        mark = "**" if result.median == min(other.median for other in times) else ""
        return f"{mark}{milliseconds(result.median)}{mark} ({milliseconds(low)} to {milliseconds(high)})"

    def grid(self, title: str, found: dict[str, dict[str, Result]], cell: Cell) -> list[str]:
        """A row a workload, a column a contestant."""
        columns = [each for each in CONTESTANTS if any(each.name in row for row in found.values())]
        rows = [
            [f"{name}: {self.workloads[name].title}"]
            + [cell(self.workloads[name], row[each.name]) if each.name in row else "" for each in columns]
            for name, row in found.items()
        ]
        return titled(title, ["", *(each.title for each in columns)], rows)

    def ratios(self, threads: int) -> list[str]:
        rows = []
        for name, row in self.of("table", threads).items():
            if COMPILED in row:
                rows.append([name, *self.beside(self.workloads[name], row, threads)])
        return titled(
            "norse.compile: how many times faster than others, and how many times the machine's limit it takes.",
            ["", "fastest peer", "than it", "than eager", "limit, ms", "times the limit"],
            rows,
        )

    def beside(self, workload: Workload, row: dict[str, Result], threads: int) -> list[str]:
        own = row[COMPILED]
        peers = [result for name, result in row.items() if name not in (COMPILED, EAGER)]
        fastest = min(peers, key=lambda result: result.median, default=None)
        eager = row.get(EAGER)
        least = required(workload, own.rates).seconds(self.data["limits"][str(threads)])
        return [
            title_of(fastest.contestant) if fastest else "",
            f"{fastest.median / own.median:.2f}" if fastest else "",
            f"{eager.median / own.median:.2f}" if eager else "",
            milliseconds(least),
            f"{own.median / least:.1f}",
        ]

    def models(self, threads: int) -> list[str]:
        return self.grid(
            "Other models at W1's shape, milliseconds.",
            self.of("models", threads),
            lambda _, result: milliseconds(result.median),
        )

    def memory(self, threads: int) -> list[str]:
        rows = []
        for name, row in self.of("memory", threads).items():
            eager = row.get(EAGER)
            held = self.workloads[name].held_bytes()
            for result in row.values():
                peaks = (result.peak_bytes, eager.peak_bytes) if eager else (None, None)
                share, beside = (
                    "" if None in peaks else f"{(peaks[0] - apart) / (peaks[1] - apart):.2f}" for apart in (0, held)
                )
                rows.append(
                    [
                        f"{name}: {self.workloads[name].title}, T = {self.workloads[name].ticks}",
                        title_of(result.contestant),
                        milliseconds(result.median),
                        mebibytes(result.peak_bytes),
                        share,
                        mebibytes(held),
                        beside,
                    ]
                )
        return titled(
            "Memory of a long sequence, MiB. Input, output and cotangent are part of each peak.",
            ["", "", "ms", "peak", "of eager's", "input, output, cotangent", "of eager's, but for these"],
            rows,
        )

    def scaling(self, threads: int) -> list[str]:
        found = self.of("scaling", threads)
        if not found:
            return []
        names = {axis: [workload.name for workload in workloads] for axis, workloads in SCALING.items()}
        text = []
        for axis, of_axis in names.items():
            rows = {name: found[name] for name in of_axis if name in found}
            over = "Recurrent LIF at batch 1, over its neurons" if axis == "recurrent" else f"W1 over {axis}"
            text += self.grid(f"{over}, milliseconds.", rows, lambda _, result: milliseconds(result.median))
            text += [f"![cost over {axis}](scaling-{axis}-{threads}.png)", ""] if rows else []
        return text

    def notes(self) -> list[str]:
        text = ["## What the others compute", ""]
        text += [
            f"- {each.title}: {each.note}" for each in CONTESTANTS if each.note and each.name in self.data["versions"]
        ]
        text += [f"- {title_of(name)} is left out: {reason}." for name, reason in self.data["left_out"].items()]
        for found in self.results.values():
            for result in found:
                if result.error is not None:
                    where = f"{result.workload}, threads: {result.threads}"
                    text.append(f"- {title_of(result.contestant)} failed at {where}: {result.error}")
        return text


def titled(title: str, head: list[str], rows: Iterable[list[str]]) -> list[str]:
    """A table under its title; nothing where there are no rows."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [title, "", f"| {' | '.join(head)} |", f"| --- |{' --: |' * (len(head) - 1)}", *lines, ""] if lines else []


def title_of(name: str) -> str:
    found: list[Contestant] = [each for each in (*CONTESTANTS, FAST, LOW) if each.name == name]
    return found[0].title if found else name


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}" if seconds < 1 else f"{1e3 * seconds:.0f}"


def mebibytes(count: int | None) -> str:
    return "" if count is None else f"{count / 2**20:.0f}"


def percent(rates: Iterable[float]) -> str:
    return ", ".join(f"{100 * rate:.1f}" for rate in rates)
