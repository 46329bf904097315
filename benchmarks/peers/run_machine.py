"""What the machine can do at most, measured as the libraries are: matrix products and copies per second.

Matrix products by both libraries that torch's builds for x86 have: on an AMD processor oneDNN may be three times as
fast as MKL, which `torch.mm` takes.
"""

import sys
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[2]))
from benchmarks.peers.protocol import restrict_threads, serve

restrict_threads()

import torch  # noqa: E402

import benchmarks.peers.torch_program  # noqa: E402, F401 - sets the threads
from benchmarks.workloads import Workload  # noqa: E402

GEMM, COPY = 1024, 1 << 26  # rows and columns; floats: more than any cache holds


class Machine:
    """A product of square matrices by MKL or another BLAS, one by oneDNN, or a copy of a large vector."""

    def __init__(self, what: str) -> None:
        self.what = what
        shape = (COPY,) if what == "copy" else (GEMM, GEMM)
        self.a, self.b, self.c = (torch.ones(shape) for _ in range(3))

    def rates(self, samples: int | None) -> list[float]:
        return []

    def scale(self, layer: int, gain: float) -> None:
        raise AssertionError("there are no neurons")

    def step(self) -> None:
        if self.what == "gemm":
            torch.mm(self.a, self.b, out=self.c)
        elif self.what == "onednn":
            torch.ops.mkldnn._linear_pointwise(self.a, self.b, None, "none", [], "")
        else:
            self.c.copy_(self.a)

    def gradient_norms(self) -> list[float]:
        return []


def build(workload: Workload, options: dict[str, Any]) -> Machine:
    return Machine(options["what"])


if __name__ == "__main__":
    serve(build, {"torch": torch.__version__})
