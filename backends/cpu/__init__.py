"""The CPU backend: generated C++, compiled for this machine, on torch's threads."""

from functools import partial

from norse.backends.cpu.at_spikes import NativeCompaction
from norse.backends.cpu.build import BUILDS, cache_directory, keep, load
from norse.backends.cpu.memory import empty
from norse.backends.cpu.run import Executable, translation_unit
from norse.backends.cpu.synapse import weight_gradient
from norse.backends.operators import BuiltRegion, call, register_rebuilder, register_region, registered_region
from norse.compiler.backend import Region
from norse.compiler.region import RegionProgram, from_json, to_json

__all__ = ["BUILDS", "CpuBackend"]


class CpuBackend:
    """Builds a region's kernels with the machine's C++ compiler."""

    name = "cpu"
    device = "cpu"

    def prepare(self, program: RegionProgram, title: str) -> Region:
        region = registered_region(program.key, self.device)
        if region is None:
            region = _build(program, title)
            register_region(region, self.device)
            keep(f"{program.key}.json", to_json(program).encode())
        return partial(call, region)

    def source(self, program: RegionProgram, title: str) -> str:
        return translation_unit(program.forward, program.backward, title)


def _build(program: RegionProgram, title: str) -> BuiltRegion:
    library = load(translation_unit(program.forward, program.backward, title), fast_math=program.fast_math)
    backward = None if program.backward is None else Executable(program.backward, library, "norse_backward")
    forward = Executable(program.forward, library, "norse_forward")
    return BuiltRegion(
        program, forward, backward, weight_gradient, lambda sizes, dtype, _: empty(sizes, dtype), NativeCompaction()
    )


def _rebuild(key: str) -> BuiltRegion | None:
    path = cache_directory() / f"{key}.json"
    return _build(from_json(path.read_text()), key) if path.exists() else None


register_rebuilder(_rebuild, CpuBackend.device)
