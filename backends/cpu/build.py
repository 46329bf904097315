"""Compiles generated C++ into shared libraries and keeps them in the user's cache, by the hash of all that went in."""

import ctypes
import hashlib
import importlib.util
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import platformdirs
import torch

from norse.compiler.backend import BackendUnavailable

_RUNTIME = Path(__file__).parent / "runtime"
_SHARED = Path(__file__).parent.parent / "c_family"
# No contraction into FMA and no reassociation: eager's bits. Traps and errno are given up, so that loops vectorise.
_FLAGS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-pthread", "-fno-math-errno", "-fno-trapping-math")
_EXACT = ("-ffp-contract=off",)
# Not -ffast-math itself: linked with it, a library would flush subnormals to zero for the whole process. Nothing is
# reassociated: the polynomials of approximate.h depend on their order.
_FAST = ("-ffp-contract=fast", "-freciprocal-math", "-fno-signed-zeros", "-DNORSE_FAST_MATH")


@dataclass
class Builds:
    """How many libraries this process compiled, and how many it found in the cache."""

    compiled: int = 0
    found: int = 0
    loaded: dict[str, ctypes.CDLL] = field(default_factory=dict)
    ahead: dict[str, Future[None]] = field(default_factory=dict)  # what is compiled at this moment, before it is needed


BUILDS = Builds()


@dataclass(frozen=True)
class Compiler:
    command: tuple[str, ...]
    version: str
    native: str  # the flag for this machine's instructions


@cache
def find_compiler() -> Compiler:
    """$CXX, else g++, clang++, or the compiler of the `ziglang` wheel."""
    chosen = os.environ.get("CXX")
    candidates = [tuple(shlex.split(chosen))] if chosen else [("g++",), ("clang++",)]
    for command in candidates:
        if shutil.which(command[0]):
            return Compiler(command, _version(command), _native_flag())
    if chosen:
        raise BackendUnavailable(f"$CXX is {chosen!r}, which is not a program that can be found")
    if importlib.util.find_spec("ziglang"):
        command = (sys.executable, "-m", "ziglang", "c++")
        return Compiler(command, _version(command), "-mcpu=native")
    raise BackendUnavailable(
        "no C++ compiler: install g++ or clang++, or set $CXX, or pip install -e '.[toolchain]' in a clone"
    )


def _version(command: tuple[str, ...]) -> str:
    ran = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    if ran.returncode:
        raise BackendUnavailable(f"{' '.join(command)} --version failed: {ran.stderr.strip()[:200]}")
    return ran.stdout.strip()


def _native_flag() -> str:
    return "-mcpu=native" if platform.machine().lower() in ("arm64", "aarch64") else "-march=native"


@cache
def cpu() -> str:
    """The processor's features, as far as the system tells: a library for another machine must not be loaded."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = re.findall(r"^(?:flags|Features|model name)\s*:\s*(.*)$", text, re.MULTILINE)
    return " ".join(dict.fromkeys(lines))


def cache_directory() -> Path:
    """`$NORSE_CACHE_DIR`, or the user's cache directory; made when it is missing."""
    named = os.environ.get("NORSE_CACHE_DIR")
    directory = Path(named) if named else Path(platformdirs.user_cache_dir("norse")) / "kernels"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=directory):
            pass
    except OSError as error:
        raise BackendUnavailable(f"the cache directory {directory} can't be written ({error.strerror})") from error
    return directory


def keep(name: str, content: bytes) -> None:
    """Puts a file into the cache unless it's there: whole, or not at all."""
    path = cache_directory() / name
    if not path.exists():
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            file.write(content)
        Path(file.name).replace(path)


def headers() -> dict[str, str]:
    """The text of every file that generated code may include."""
    files = sorted([*_RUNTIME.glob("*.h"), *_SHARED.glob("*.h")])
    return {file.name: file.read_text() for file in files}


def load(source: str, *, fast_math: bool = False) -> ctypes.CDLL:
    """The library of a translation unit: loaded already, in the cache, or compiled now."""
    key, compiler, flags = _build_of(source, fast_math)
    if key not in BUILDS.loaded:
        if key in BUILDS.ahead:
            BUILDS.ahead[key].result()
        BUILDS.loaded[key] = _load_file(cache_directory() / f"{key}.so", source, compiler, flags)
    return BUILDS.loaded[key]


def _build_of(source: str, fast_math: bool = False) -> tuple[str, Compiler, tuple[str, ...]]:
    """The key of a translation unit's library, and what compiles it."""
    compiler = find_compiler()
    flags = (*_FLAGS, *(_FAST if fast_math else _EXACT), compiler.native)
    return _key(source, compiler, flags), compiler, flags


def begin(source: str) -> None:
    """Compiles a library in a thread of its own, unless it is there: whoever loads it waits for what is left to do.

    What is wrong is said when it is loaded.
    """
    try:
        key, compiler, flags = _build_of(source)
        path = cache_directory() / f"{key}.so"
    except BackendUnavailable:
        return
    if key not in BUILDS.loaded and key not in BUILDS.ahead and not _is_whole(path):
        with suppress(RuntimeError):  # no thread can be started, or Python ends
            BUILDS.ahead[key] = _threads().submit(_compile_quietly, path, source, compiler, flags)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(os.cpu_count())


def _compile_quietly(path: Path, source: str, compiler: Compiler, flags: tuple[str, ...]) -> None:
    with suppress(BackendUnavailable, OSError):
        _compile(path, source, compiler, flags)


def _after_fork() -> None:
    BUILDS.ahead.clear()  # the child has no threads to wait for
    _threads.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


NUMBERS = {torch.float32: "float", torch.float64: "double"}  # for which the runtime has synapses


def load_runtime(name: str, dtype: torch.dtype | None = None) -> ctypes.CDLL:
    """The library of a file in runtime/, for numbers of one type if it is made for one: half as much to compile."""
    return load(runtime_source(name, dtype))


def runtime_source(name: str, dtype: torch.dtype | None = None) -> str:
    number = "" if dtype is None else f"#define NORSE_NUMBER {NUMBERS[dtype]}\n"
    return number + (_RUNTIME / f"{name}.cpp").read_text()


def _key(source: str, compiler: Compiler, flags: tuple[str, ...]) -> str:
    text = re.sub(r"//[^\n]*", "", source)
    parts = (text, repr(headers()), *compiler.command, compiler.version, *flags, cpu())
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


def _load_file(path: Path, source: str, compiler: Compiler, flags: tuple[str, ...]) -> ctypes.CDLL:
    if _is_whole(path):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # built on a machine with other libraries: built anew below
            pass
        else:
            BUILDS.found += 1
            return library
    _compile(path, source, compiler, flags)
    BUILDS.compiled += 1
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise BackendUnavailable(f"a compiled kernel can't be loaded: {error}") from error


def _is_whole(path: Path) -> bool:
    """Whether the library is there as it was built. Loading a truncated one would end the process."""
    try:
        return path.with_suffix(".sha256").read_text() == _digest(path)
    except OSError:
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _compile(path: Path, source: str, compiler: Compiler, flags: tuple[str, ...]) -> None:
    """Compiles beside `path` and renames, so that other processes see a whole file or none."""
    # No TemporaryDirectory: a child of os.fork that ends would remove that of its parent's threads.
    temporary = Path(tempfile.mkdtemp(dir=path.parent))
    try:
        text, built = temporary / "kernel.cpp", temporary / "kernel.so"
        text.write_text(source)
        include = (f"-I{_RUNTIME}", f"-I{_SHARED}")
        command = [*compiler.command, *flags, *include, "-o", str(built), str(text)]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            kept = path.with_suffix(".failed.cpp")
            kept.write_text(source)
            raise BackendUnavailable(f"{' '.join(compiler.command)} refused {kept}:\n{ran.stderr[:2000]}")
        digest = temporary / "kernel.sha256"
        digest.write_text(_digest(built))
        built.replace(path)
        digest.replace(path.with_suffix(".sha256"))
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
