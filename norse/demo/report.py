"""What the demo prints: every figure comes from the runs, none is written here but the targets."""

from pathlib import Path

from rich.table import Table

from norse.demo.training import Run

TARGET_ACCURACY = 0.93
TARGET_RATES = (0.01, 0.30)
TARGET_RATIO = 2.0
TARGET_SPIKES = 0.999


def verdict(met: bool, target: str) -> str:
    """The target, and plainly whether it was reached."""
    return f"[green]✓[/] {target}" if met else f"[bold red]✗ missed:[/] {target}"


def comparison(eager: Run, compiled: Run) -> Table:
    """Both runs, side by side, against the targets."""
    table = Table(title="eager and compiled, from the same seed", title_justify="left")
    for heading in ("", "eager", "compiled"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_column("target")

    table.add_row("training loss, last epoch", f"{eager.loss:.4f}", f"{compiled.loss:.4f}", "")
    accurate = min(eager.accuracy, compiled.accuracy) >= TARGET_ACCURACY
    target = verdict(accurate, f"≥ {TARGET_ACCURACY:.0%}")
    table.add_row("test accuracy", f"{eager.accuracy:.2%}", f"{compiled.accuracy:.2%}", target)
    low, high = TARGET_RATES
    for layer, rate in eager.firing_rates.items():
        other = compiled.firing_rates[layer]
        target = verdict(low <= min(rate, other) <= max(rate, other) <= high, f"{low:.0%} – {high:.0%}")
        table.add_row(f"firing rate, {layer}", f"{rate:.2%}", f"{other:.2%}", target)
    table.add_section()
    table.add_row("seconds per epoch", f"{eager.seconds_per_epoch:.3f}", f"{compiled.seconds_per_epoch:.3f}", "median")
    ratio = eager.seconds_per_epoch / compiled.seconds_per_epoch
    target = verdict(ratio >= TARGET_RATIO, f"≥ {TARGET_RATIO:.1f}")
    table.add_row("times as fast as eager", "", f"{ratio:.1f}", target)
    first = (f"{run.seconds_of_first_call:.2f}" for run in (eager, compiled))
    table.add_row("seconds, first call (compiles)", *first, "not in the epochs")
    return table


def files(picture: Path, nir: Path, spikes_kept: float) -> Table:
    """What was written, and whether the exported network is the same network."""
    table = Table.grid(padding=(0, 2))
    table.add_row(str(picture), "the spikes of all layers for one digit", "")
    table.add_row(
        str(nir),
        f"the trained network; read back, it fires {spikes_kept:.4%} of the same spikes",
        verdict(spikes_kept >= TARGET_SPIKES, f"≥ {TARGET_SPIKES:.1%}"),
    )
    return table
