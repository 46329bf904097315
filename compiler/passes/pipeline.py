"""The pipeline: from the network's graph to one whose nodes have all found their region."""

import os
from collections.abc import Callable

from norse.compiler.ir import Graph
from norse.compiler.lower import lower
from norse.compiler.passes.batch_time import batch_time
from norse.compiler.passes.common_subexpressions import common_subexpressions
from norse.compiler.passes.eliminate_dead_code import eliminate_dead_code
from norse.compiler.passes.fold_constants import fold_constants
from norse.compiler.passes.fuse_loops import fuse_loops
from norse.compiler.passes.hoist_prologue import hoist_prologue
from norse.compiler.passes.infer_types import infer_types
from norse.compiler.passes.mark_spikes import mark_spikes
from norse.compiler.passes.plan_memory import plan_memory
from norse.compiler.verify import verify

Pass = Callable[[Graph], Graph]

# `normalise` and `name_axes` come before: a step is normalised where it is traced.
PIPELINE: tuple[Pass, ...] = (
    lower,
    infer_types,
    mark_spikes,
    fold_constants,
    common_subexpressions,
    hoist_prologue,
    eliminate_dead_code,
    batch_time,
    fuse_loops,
    plan_memory,
)


def run_pipeline(network: Graph, exact: bool = False) -> Graph:
    """The scheduled graph of the tick level. `NORSE_DEBUG` prints every stage and verifies between the passes."""
    setting = os.environ.get("NORSE_DEBUG", "0") or "0"
    debug = int(setting) if setting.isdigit() else 1
    graph = network
    for transform in PIPELINE:
        graph = batch_time(graph, exact) if transform is batch_time else transform(graph)
        if debug:
            verify(graph)
            if debug > 1:
                print(f"# after {transform.__name__}\n{graph}")
    return graph
