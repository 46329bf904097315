"""How long compiling takes: the first build, with kernels on disk, and with everything in the process.

    python benchmarks/compile_time.py [--quick] [NAME ...]

Each row is measured in processes of its own. What is timed is the first call, forward and backward:

- `build`: with an empty cache of kernels. C++ is compiled.
- `disk`: in a new process, with the kernels of before.
- `again`: an equal model in the same process, of another object.
- `call`: a further call of the compiled model.

`wall` is what passed, `cpu` what this process computed (the C++ compiler is another process). Before the clock starts,
torch is imported, and what it imports when it first simulates a tensor (torch._dynamo and sympy, a second; torch's
optimizers do so too). Chains of 10 to 200 layers tell how compiling grows: the exponent is 1 where it is linear.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

BATCH, TICKS = 2, 5
LENGTHS = (10, 50, 100, 200)
Model = Callable[[], tuple[Any, Any]]


def models() -> dict[str, Model]:
    """Models by name, each with an input."""
    import torch
    from torch import nn

    import norse.torch as snn
    from norse.torch.models.mobilenet import mobilenet_v2
    from norse.torch.models.vgg import vgg11

    def small(*layers: Callable[[], nn.Module]) -> Model:
        return lambda: (snn.SequentialState(*(layer() for layer in layers)), torch.rand(TICKS, BATCH, 8))

    def chain(length: int) -> Model:
        pair = (lambda: nn.Linear(8, 8), snn.LIF)
        return small(*(pair[k % 2] for k in range(length)))

    def images(model: Callable[..., nn.Module]) -> Model:
        return lambda: (model(), torch.rand(TICKS, BATCH, 3, 32, 32))

    def users_loop() -> tuple[nn.Module, torch.Tensor]:
        return Loop(), torch.rand(50, BATCH, 8)

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif, self.out = nn.Linear(8, 16), snn.LIFCell(), snn.LILinearCell(16, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            s1 = s2 = None
            outputs = []
            for t in range(x.shape[0]):
                z, s1 = self.lif(self.fc(x[t]), s1)
                v, s2 = self.out(z, s2)
                outputs.append(v)
            return torch.stack(outputs)

    kinds = (snn.LIF, snn.LIFBox, snn.LIFAdEx, snn.LIFEx, snn.LSNN, snn.IAF, snn.LI, snn.LIBox)
    found: dict[str, Model] = {kind.__name__: small(lambda: nn.Linear(8, 8), kind) for kind in kinds}
    found |= {
        "LIFRecurrent": small(lambda: snn.LIFRecurrent(8, 8)),
        "LSNNRecurrent": small(lambda: snn.LSNNRecurrent(8, 8)),
        "classifier": small(
            lambda: nn.Linear(8, 32), snn.LIF, lambda: snn.LIFRecurrent(32, 16), lambda: nn.Linear(16, 4), snn.LI
        ),
        "a loop in forward": users_loop,
        "VGG-11": images(vgg11),
        "MobileNetV2": images(mobilenet_v2),
    }
    return found | {f"chain of {length}": chain(length) for length in LENGTHS}


def measured(name: str) -> dict[str, Any]:
    """In this process: the first call, that of an equal model, and a further one."""
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.utils import _pytree as pytree

    import norse

    FakeTensorMode()  # imports what torch puts off
    make = models()[name]
    rows: dict[str, Any] = {}

    def call(row: str, compiled: Any, x: Any) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        out = compiled(x)
        leaves = (leaf for leaf in pytree.tree_leaves(out) if isinstance(leaf, torch.Tensor) and leaf.requires_grad)
        sum(leaf.sum() for leaf in leaves).backward()
        rows[row] = (time.perf_counter() - wall, time.process_time() - cpu)

    torch.manual_seed(1)
    for row in ("first", "again"):
        model, x = make()
        compiled = norse.compile(model)
        call(row, compiled, x)
    call("call", compiled, x)
    from norse.backends.cpu import BUILDS

    rows["kernels"] = BUILDS.compiled + BUILDS.found
    return rows


def in_a_process(name: str, cache: str) -> dict[str, Any]:
    command = [sys.executable, __file__, "--measure", name]
    ran = subprocess.run(
        command, env={**os.environ, "NORSE_CACHE_DIR": cache}, capture_output=True, text=True, check=False
    )
    if ran.returncode:
        raise SystemExit(f"{name}: {ran.stderr[-2000:]}")
    return json.loads(ran.stdout.splitlines()[-1])  # type: ignore[no-any-return]


def exponent(times: dict[int, float]) -> float:
    """Of the power law through the shortest and the longest chain."""
    first, last = min(times), max(times)
    return math.log(times[last] / times[first]) / math.log(last / first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="of rows; none means all")
    parser.add_argument("--quick", action="store_true", help="without the image networks")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measured(chosen.measure)))
        return
    names = chosen.names or [n for n in models() if not (chosen.quick and n in ("VGG-11", "MobileNetV2"))]
    columns = ("build", "disk", "again", "call")
    print(f"{'ms, wall/cpu':<20}" + "".join(f"{column:>16}" for column in columns) + f"{'kernels':>9}", flush=True)
    grown: dict[str, dict[int, float]] = {column: {} for column in columns}
    for name in names:
        with tempfile.TemporaryDirectory() as cache:
            build, disk = in_a_process(name, cache), in_a_process(name, cache)
        row = {"build": build["first"], "disk": disk["first"], "again": disk["again"], "call": disk["call"]}
        texts = (f"{1000 * wall:.1f}/{1000 * cpu:.1f}" for wall, cpu in row.values())
        print(f"{name:<20}" + "".join(f"{text:>16}" for text in texts) + f"{build['kernels']:>9}", flush=True)
        if name.startswith("chain of "):
            for column, (_, cpu) in row.items():
                grown[column][int(name.removeprefix("chain of "))] = cpu
    if len(grown["build"]) > 1:
        print("growth, exponent    " + "".join(f"{exponent(times):>16.2f}" for times in grown.values()))


if __name__ == "__main__":
    main()
