"""`python -m tests.interop`: runs the consumers whose environments are there, and writes docs/interop.md."""

import re
import subprocess
from pathlib import Path

from norse.backends.nir_export.dialects import DIALECTS

from .cases import CASES, NETWORKS, TICKS
from .consumers import CONSUMERS, Result, give, python, take

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
HEAD = f"""# Files in other tools: what each makes of them

Made by `make interop`, which installs each tool in an environment of its own and runs it as it is. Each network is
given as `norse.to_nir(..., dialect=...)` writes it, and gets {TICKS} ticks of random spikes. *Equal* means every spike,
or potentials and currents within rounding. What is refused is refused before there is a file, with the message below.
What the tools compute, and why plain NIR is another network to them, is in [nir.md](nir.md#dialects).

**A column has networks of its own**, so numbers of spikes compare with our own of the same column, not across columns:
what a spike does to its neuron follows the tool. It sets v to 0 for snnTorch, Norse and nirtorch, and lowers v by the
threshold for Spyx, Sinabs and Rockpool; for the last two thresholds are twice as high and more, as their neurons fire
several spikes where v reaches twice the threshold. *IF, bounded* has `reset_subtract_bounded`; in *inhibition, IF*
potentials fall to -10 thresholds and below. In plain NIR all columns have one network, with reset to 0.
"""
GROUPS = (
    ("In the consumer's dialect", None, ""),
    (
        "The same networks in plain NIR",
        "nir",
        "What a tool leaves out of a file without a word is missing from what it runs: at the end of a network the\n"
        "layer before it is the output, else the network is torn (`KeyError`, *empty graph*).",
    ),
)
# Why a network of the tool's own is another here.
CAUSES = {
    ("norse", "LIFCell"): "Norse writes `w_in` = 1 where its neuron has tau_syn / dt; its own reader makes the same "
    "weaker neuron of that file ([nir.md](nir.md#dialects))",
}
FOR_EVER = "follows the cycle for ever"


def main() -> None:
    found = [consumer for consumer in CONSUMERS if python(consumer) is not None]
    missing = [consumer for consumer in CONSUMERS if consumer not in found]
    lines = [HEAD, f"Run: {', '.join(map(_version, found))}."]
    if missing:
        lines.append(f"Left out, as they could not be installed: {', '.join(missing)}.")
    for title, dialect, before in GROUPS:
        given = {consumer: give(consumer, _cases(consumer, dialect), dialect) for consumer in found}
        lines += ["", f"## {title}", "", *([before, ""] if before else []), *_table(given), "", *_notes(given)]
    lines += [
        "",
        "## Files that the tools write",
        "",
        "| tool | network | read in its dialect |",
        "| --- | --- | --- |",
    ]
    for consumer in found:
        if consumer != "nirtorch":
            lines += [f"| {consumer} | {name} | {_taken(consumer, name, result)} |" for name, result in take(consumer)]
    text = "\n".join(lines) + "\n"
    print(text)
    PAGE.write_text(text)


def _taken(consumer: str, name: str, result: Result) -> str:
    cause = CAUSES.get((consumer, name))
    return result.text if result.equal or cause is None else f"{result.text}: {cause}"


def _cases(consumer: str, dialect: str | None) -> dict:
    """All, but for what would not end."""
    endless = consumer == "spyx" and dialect == "nir"
    return {name: case for name, case in CASES.items() if not (endless and name.startswith("recurrent"))}


def _table(given: dict[str, dict[str, Result]]) -> list[str]:
    lines = ["| | " + " | ".join(given) + " |", "| --- " * (len(given) + 1) + "|"]
    for name in CASES:
        cells = [_cell(results.get(name, Result(FOR_EVER, False))) for results in given.values()]
        lines.append(f"| {'**' + name + '**' if name in NETWORKS else name} | " + " | ".join(cells) + " |")
    return lines


def _cell(result: Result) -> str:
    words = ("refused", "does not run it", "gives shape", FOR_EVER)
    return next((word for word in words if result.text.startswith(word)), result.text.replace(" on: ", ": "))


def _notes(given: dict[str, dict[str, Result]]) -> list[str]:
    """What was refused and what went wrong, in full, once."""
    said: dict[str, list[str]] = {}
    for consumer, results in given.items():
        for name, result in results.items():
            if result.text.startswith(("refused", "does not run it", "gives shape")):
                text = re.sub(r"(?:node|layer) '\d+(?:_\w+)?' \((\w+)\)", r"\1", result.text)
                for line in [f"refused: {line}" for line in text.split("\n- ")[1:]] or [text]:
                    names = said.setdefault(f"{consumer}: {line}", [])
                    names += [name] if name not in names else []
    return [f"- {text} ({'; '.join(names)})" for text, names in said.items()]


def _version(consumer: str) -> str:
    dialect = CONSUMERS[consumer][0]
    if dialect != "nir":
        return DIALECTS[dialect].tool
    code = "import importlib.metadata as m; print(m.version('nirtorch'))"
    done = subprocess.run([str(python(consumer)), "-I", "-c", code], capture_output=True, text=True, check=True)
    return f"nirtorch {done.stdout.strip()} with neurons of this page's equations"


if __name__ == "__main__":
    main()
