"""Who takes part, as data: a program, the Python that runs it, and what its library can't express."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PEERS = ROOT / "benchmarks" / "peers"


@dataclass(frozen=True)
class Contestant:
    """A library, or a way to use one.

    Args:
        name: how `--peer` and the results call it.
        title: how the tables call it.
        script: its program, in benchmarks/peers.
        environment: the virtual environment beside this repository's own; None for the Python that runs this.
        options: what its program is told.
        models: the neuron models that it has, None for all.
        note: where it computes something else than norse's equations.
    """

    name: str
    title: str
    script: str
    environment: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    models: frozenset[str] | None = frozenset({"LIF", "LI"})
    note: str = ""

    @property
    def ours(self) -> bool:
        return self.environment is None

    def python(self) -> Path:
        """NORSE_BENCH_ENVS may name another folder than the repository to find the environments in."""
        if self.environment is None:
            return Path(sys.executable)
        return Path(os.environ.get("NORSE_BENCH_ENVS", ROOT)) / self.environment / "bin" / "python"

    def can(self, models: set[str]) -> bool:
        return self.models is None or models <= self.models


COMPILED, EAGER = "compiled", "eager"

CONTESTANTS = (
    Contestant(COMPILED, "norse.compile", "run_norse.py", options={"compile": True}, models=None),
    Contestant(EAGER, "norse, eager", "run_norse.py", models=None),
    Contestant(
        "norse-1.1", "Norse 1.1", "run_norse.py", ".venv-norse-1.1", note="The same equations and the same code."
    ),
    Contestant(
        "snntorch",
        "snnTorch",
        "run_snntorch.py",
        ".venv-snntorch",
        {"synapse": True},
        note="Synaptic and RSynaptic: decays α = 0.8, β = 0.9; a spike resets the potential in the next tick.",
    ),
    Contestant(
        "snntorch-lif",
        "snnTorch, no synapse",
        "run_snntorch.py",
        ".venv-snntorch",
        {"synapse": False},
        note="Leaky and RLeaky: no synaptic current, so less work than the others'.",
    ),
    Contestant(
        "spikingjelly",
        "SpikingJelly",
        "run_spikingjelly.py",
        ".venv-spikingjelly",
        {"synapse": True},
        note="CUBALIFNode, multi-step; the readout NonSpikingLIFNode has no synaptic current.",
    ),
    Contestant(
        "spikingjelly-lif",
        "SpikingJelly, no synapse",
        "run_spikingjelly.py",
        ".venv-spikingjelly",
        {"synapse": False},
        note="LIFNode, multi-step: no synaptic current, so less work than the others'.",
    ),
    Contestant(
        "sinabs",
        "Sinabs",
        "run_sinabs.py",
        ".venv-sinabs",
        note="LIF and LIFRecurrent with the same decays; the readout ExpLeak has no synaptic current.",
    ),
    Contestant(
        "jax",
        "JAX scan",
        "run_jax.py",
        ".venv-jax",
        models=frozenset({"LIF", "LI", "LIFAdEx"}),
        note="The same equations, written by hand: one jitted function, a lax.scan a layer of neurons.",
    ),
)

# What a compiled model may do with memory, measured apart.
FAST = Contestant("compiled-fast", 'memory="fast"', "run_norse.py", options={"compile": True, "memory": "fast"})
LOW = Contestant("compiled-low", 'memory="low"', "run_norse.py", options={"compile": True, "memory": "low"})

# Not a library: the ceilings of the machine, measured as the libraries are.
GEMM = Contestant("gemm", "matrix product", "run_machine.py", options={"what": "gemm"})
ONEDNN = Contestant("onednn", "matrix product by oneDNN", "run_machine.py", options={"what": "onednn"})
COPY = Contestant("copy", "copy", "run_machine.py", options={"what": "copy"})
