"""The CUDA backend: generated CUDA C++, compiled by NVRTC, on torch's streams; for tests also on the CPU, by a shim."""

from functools import partial

from norse.backends.cpu.build import cache_directory, keep
from norse.backends.cuda.driver import GpuModule
from norse.backends.cuda.run import THREADS, Executable, Module, check_size
from norse.backends.cuda.shim import ShimModule
from norse.backends.cuda.text import translation_unit
from norse.backends.operators import BuiltRegion, call, register_rebuilder, register_region
from norse.compiler.backend import Region
from norse.compiler.region import RegionProgram, from_json, to_json

__all__ = ["CudaBackend", "ShimBackend"]


class CudaBackend:
    """Builds a region's kernels for the GPUs of this machine."""

    name = "cuda"
    device = "cuda"

    def prepare(self, program: RegionProgram, title: str) -> Region:
        region = _for_gpus(program, title)
        register_region(region, self.device)
        keep(f"{program.key}.json", to_json(program).encode())
        return partial(call, region)

    def source(self, program: RegionProgram, title: str) -> str:
        return translation_unit(program.forward, program.backward, title)


class ShimBackend:
    """Runs the text of CUDA kernels on the CPU, slowly: for tests on machines without a GPU."""

    name = "cuda, through the shim"
    device = "cpu"

    def __init__(self, threads: int = THREADS, descending: bool = False) -> None:
        self._threads, self._descending = threads, descending

    def prepare(self, program: RegionProgram, title: str) -> Region:
        symbols = ("norse_forward",) if program.backward is None else ("norse_forward", "norse_backward")
        text = self.source(program, title)
        module = ShimModule(text, symbols, fast_math=program.fast_math, descending=self._descending)
        return partial(call, _built(program, module, self._threads))

    def source(self, program: RegionProgram, title: str) -> str:
        return translation_unit(program.forward, program.backward, title)


def _built(program: RegionProgram, module: Module, threads: int = THREADS) -> BuiltRegion:
    backward = None
    if program.backward is not None:
        backward = Executable(program.backward, module, "norse_backward", threads)
    return BuiltRegion(program, Executable(program.forward, module, "norse_forward", threads), backward)


def _for_gpus(program: RegionProgram, title: str) -> BuiltRegion:
    for kernel in (program.forward, program.backward):
        if kernel is not None:
            check_size(kernel)
    text = translation_unit(program.forward, program.backward, title)
    return _built(program, GpuModule(text, fast_math=program.fast_math))


def _rebuild(key: str) -> BuiltRegion | None:
    path = cache_directory() / f"{key}.json"
    return _for_gpus(from_json(path.read_text()), key) if path.exists() else None


register_rebuilder(_rebuild, CudaBackend.device)
