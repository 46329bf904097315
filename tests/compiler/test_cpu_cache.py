"""The cache of compiled kernels: built once, never wrong, safe with several processes."""

import ctypes
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import norse.torch as snn
from norse.backends.cpu import CpuBackend, build
from norse.compiler.backend import BackendUnavailable
from norse.torch.functional.lif import lif_feed_forward_step

from .graphs import program_of, tick_of

SOURCE = 'extern "C" int three() { return 3; }\n'


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a process that has not loaded anything."""
    monkeypatch.setenv("NORSE_CACHE_DIR", str(tmp_path / "kernels"))
    forget(monkeypatch)
    build.find_compiler.cache_clear()
    yield tmp_path / "kernels"
    build.find_compiler.cache_clear()


def forget(monkeypatch: pytest.MonkeyPatch) -> build.Builds:
    """As in a new process."""
    builds = build.Builds()
    monkeypatch.setattr(build, "BUILDS", builds)
    return builds


def answer(library: ctypes.CDLL) -> int:
    return int(library.three())


def libraries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.so"))


def test_a_kernel_is_compiled_once_and_found_by_the_next_process(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for compiled, found in ((1, 0), (0, 1)):
        builds = forget(monkeypatch)
        assert answer(build.load(SOURCE)) == 3
        build.load(SOURCE)
        assert (builds.compiled, builds.found) == (compiled, found)
    assert len(libraries(cache)) == 1


def test_nothing_but_libraries_and_their_digests_is_left_in_the_cache(cache: Path) -> None:
    build.load(SOURCE)
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


def test_a_library_that_is_begun_is_waited_for(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = forget(monkeypatch)
    build.begin(SOURCE)
    build.begin(SOURCE)
    assert answer(build.load(SOURCE)) == 3
    assert (builds.compiled, builds.found) == (0, 1), "it was built twice"
    assert len(libraries(cache)) == 1


FORKS_MEANWHILE = """
import os, sys, time
from pathlib import Path
from norse.backends.cpu import build

waits = Path(os.environ["WAITS"])
build.begin(sys.argv[1])
while not (begun := list(build.cache_directory().glob("tmp*/kernel.cpp"))):
    time.sleep(0.01)
if not (child := os.fork()):
    sys.exit()
os.waitpid(child, 0)
there = begun[0].exists()
waits.unlink()
print(there, build.load(sys.argv[1]).three())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system can't fork")
def test_a_forked_child_that_ends_leaves_what_its_parent_builds(cache: Path, tmp_path: Path) -> None:
    waits, slow = tmp_path / "waits", tmp_path / "slow"
    waits.touch()
    compiler = shlex.join(build.find_compiler().command)
    wait = '[ "$1" = --version ] || while [ -e "$WAITS" ]; do sleep 0.01; done'
    slow.write_text(f'#!/bin/sh\n{wait}\nexec {compiler} "$@"\n')
    slow.chmod(0o755)
    environment = {**os.environ, "CXX": str(slow), "WAITS": str(waits)}
    command = [sys.executable, "-W", "ignore", "-c", FORKS_MEANWHILE, SOURCE]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert ran.stdout.split() == ["True", "3"], ran.stderr
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


def test_what_cannot_be_begun_is_built_when_it_is_loaded(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoThreads:
        def submit(self, *_: object) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(build, "_threads", NoThreads)
    build.begin(SOURCE)
    assert answer(build.load(SOURCE)) == 3


def test_what_is_begun_and_refused_says_so_when_it_is_loaded(cache: Path) -> None:
    build.begin("no C++")
    with pytest.raises(BackendUnavailable, match="refused"):
        build.load("no C++")


@pytest.mark.parametrize("kept", [0, 100, 1000, 0.5, 0.99], ids=lambda kept: f"{kept} of it kept")
def test_a_damaged_library_is_built_anew(cache: Path, monkeypatch: pytest.MonkeyPatch, kept: float) -> None:
    build.load(SOURCE)
    (path,) = libraries(cache)
    content = path.read_bytes()
    path.unlink()  # the library that this process has loaded keeps its file
    path.write_bytes(content[: int(kept * len(content)) if kept < 1 else int(kept)])
    builds = forget(monkeypatch)
    assert answer(build.load(SOURCE)) == 3
    assert builds.compiled == 1
    assert libraries(cache)[0].stat().st_size == len(content)


def test_a_library_with_a_changed_byte_is_built_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.load(SOURCE)
    (path,) = libraries(cache)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.unlink()
    path.write_bytes(content)
    builds = forget(monkeypatch)
    assert answer(build.load(SOURCE)) == 3
    assert builds.compiled == 1


def test_a_comment_does_not_build_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds = forget(monkeypatch)
    first = build.load("// this\n" + SOURCE)
    assert build.load("// that\n" + SOURCE) is first
    assert builds.compiled == 1


def test_the_title_of_a_region_does_not_build_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.rand(2, 3)
    tick = tick_of(lif_feed_forward_step, x, snn.LIFFeedForwardState(x, x), snn.LIFParameters(), 0.001)
    builds, program = forget(monkeypatch), program_of(tick)
    CpuBackend().prepare(program, "layer 1")
    before = builds.compiled
    CpuBackend().prepare(program, "another layer")
    assert builds.compiled == before


def test_other_text_headers_flags_compilers_and_processors_build_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    builds = forget(monkeypatch)
    build.load(SOURCE)
    build.load(SOURCE.replace("3", "2 + 1"))
    build.load(SOURCE, fast_math=True)
    headers = build.headers()
    with monkeypatch.context() as changed:
        changed.setattr(build, "headers", lambda: {**headers, "arithmetic.h": headers["arithmetic.h"] + "\n"})
        build.load(SOURCE)
    compiler = build.find_compiler()
    newer = build.Compiler(compiler.command, compiler.version + ", newer", compiler.native)
    with monkeypatch.context() as changed:
        changed.setattr(build, "find_compiler", lambda: newer)
        build.load(SOURCE)
    with monkeypatch.context() as changed:
        changed.setattr(build, "cpu", lambda: "another processor")
        build.load(SOURCE)
    build.load(SOURCE)
    assert builds.compiled == 6
    assert len(libraries(cache)) == 6


def test_all_that_generated_code_includes_is_in_the_key() -> None:
    folders = (build._RUNTIME, build._SHARED)
    included = {path.name for folder in folders for path in folder.iterdir() if path.suffix in (".h", ".hpp")}
    assert included == set(build.headers())
    assert {"norse_kernel.h", "arithmetic.h", "rows.h"} <= included


def test_two_processes_may_compile_at_once(cache: Path) -> None:
    script = (
        "import sys; from norse.backends.cpu.build import BUILDS, load\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        f"print(load({SOURCE!r}).three(), BUILDS.compiled)\n"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
        )
        for _ in range(2)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    answers = [process.communicate(timeout=120)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert [three for three, _ in answers] == ["3", "3"]
    assert sorted(path.suffix for path in cache.iterdir()) == [".sha256", ".so"]


def test_another_process_that_was_faster_does_no_harm(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compile_alone = build._compile

    def compile_after_another(path: Path, *rest: object) -> None:
        compile_alone(path, *rest)  # type: ignore[arg-type]
        compile_alone(path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "_compile", compile_after_another)
    assert answer(build.load(SOURCE)) == 3


def test_a_cache_that_cannot_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file"
    file.touch()
    for directory in (file, file / "below"):
        monkeypatch.setenv("NORSE_CACHE_DIR", str(directory))
        with pytest.raises(BackendUnavailable, match=r"cache directory .* can't be written"):
            build.cache_directory()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_the_right_to_write_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    monkeypatch.setenv("NORSE_CACHE_DIR", str(tmp_path))
    with pytest.raises(BackendUnavailable, match="can't be written"):
        build.cache_directory()


def test_a_compiler_that_cannot_be_found_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler -O2")
    with pytest.raises(BackendUnavailable, match="no-such-compiler"):
        build.load(SOURCE)


def test_a_compiler_that_fails_says_so(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(BackendUnavailable, match="false --version failed"):
        build.load(SOURCE)


def test_without_any_compiler_the_ways_to_get_one_are_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(cache))
    monkeypatch.setattr(build.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendUnavailable, match="no C\\+\\+ compiler: install"):
        build.load(SOURCE)


def test_text_that_the_compiler_refuses_is_kept_for_a_look(cache: Path) -> None:
    with pytest.raises(BackendUnavailable, match="refused") as refusal:
        build.load("this is not C++\n")
    (kept,) = cache.glob("*.failed.cpp")
    assert str(kept) in str(refusal.value)
    assert kept.read_text() == "this is not C++\n"
    assert not libraries(cache)


def test_fast_math_leaves_the_process_its_subnormal_numbers() -> None:
    build.load(SOURCE, fast_math=True)
    tiny = torch.tensor(1e-40)
    assert (tiny * 2 > 0).item()
