"""HDF5 files as dictionaries of arrays, read in a process of their own.

The HDF5 library (2.0.0, measured) crashes on some damaged files and loops for ever on others. So a process that is
started at the first file, and kept, reads for this one: it may use a part of a second and some memory, and where it
ends or takes longer, the file is damaged. Nothing that it says is trusted but as numbers, texts and names.
"""

import atexit
import contextlib
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from queue import Empty, Queue
from typing import Any

import numpy as np

_SCRIPT = Path(__file__).with_name("hdf5_process.py")
SECONDS, BYTES_A_SECOND = 0.3, 50e6  # of the processor, for any file; and as much of it as that in a second more
CLOCK = 30.0  # seconds of the clock for what takes none of the processor's
SMALLEST, GROWTH = 64 * 2**20, 32  # bytes that a file's arrays may take, and how many times its own size more
_KINDS = "fiubc"


class Damaged(Exception):
    """The file is no HDF5, or none that can be read."""


class NotNir(Exception):
    """The file is sound, but holds what no NIR file does."""


def read_tree(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What a file holds: groups as dictionaries, numbers as arrays, texts as str or lists of them.

    Raises:
        Damaged, NotNir: as they say.
        OSError: if the file is not there or may not be read.
    """
    size = Path(path).stat().st_size
    with Path(path).open("rb"):
        pass  # an error that says that it may not be read
    request = {
        "path": str(Path(path).absolute()),
        "seconds": SECONDS + size / BYTES_A_SECOND,
        "bytes": SMALLEST + GROWTH * size,
    }
    with _LOCK:
        reader = _Reader.running()
        try:
            answer, blocks = reader.ask(request)
        except (Empty, EOFError, OSError, ValueError) as error:
            reader.end()
            if isinstance(error, Empty) or reader.late():
                raise Damaged("reading it does not come to an end") from error
            raise Damaged("it ended the process that read it") from error
    if "error" in answer:
        raise (NotNir if answer["kind"] == "content" else Damaged)(str(answer["error"]))
    return _with_arrays(answer["tree"], blocks)  # type: ignore[no-any-return]


class _Reader:
    """The process, its answers read by a thread, so that waiting for them can end."""

    current: "_Reader | None" = None

    def __init__(self) -> None:
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # it computes nothing
        self.owner = os.getpid()
        self.process = subprocess.Popen(
            [sys.executable, str(_SCRIPT), json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        self.answers: Queue[tuple[dict[str, Any], list[bytes]] | None] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @classmethod
    def running(cls) -> "_Reader":
        reader = cls.current
        if reader is None or reader.owner != os.getpid() or reader.process.poll() is not None:
            reader = cls.current = cls()
        return reader

    def ask(self, request: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        answer = self.answers.get(timeout=CLOCK + 2 * float(request["seconds"]))
        if answer is None:
            raise EOFError
        return answer

    def _listen(self) -> None:
        out = self.process.stdout
        assert out is not None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if out.readline() == b"ready\n":
                while line := out.readline():
                    answer = json.loads(line)
                    sizes = _sizes(answer.get("tree"))
                    blocks = [out.read(size) for size in sizes]
                    if [len(block) for block in blocks] != sizes:
                        break
                    self.answers.put((answer, blocks))
        self.answers.put(None)

    def late(self) -> bool:
        """Whether its time was over when it ended."""
        import signal

        return self.process.returncode == -getattr(signal, "SIGPROF", 0)

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


_LOCK = threading.Lock()


def _end() -> None:
    reader = _Reader.current
    if reader is not None and reader.owner == os.getpid():
        reader.end()


atexit.register(_end)


def _is_block(tree: Any) -> bool:
    return isinstance(tree, dict) and isinstance(tree.get("@"), int)


def _sizes(tree: Any) -> list[int]:
    """Of the blocks, in their order: a block is numbered when it is met, and trees are written as they are met."""
    if _is_block(tree):
        return [int(np.prod(tree["shape"], dtype=np.int64)) * np.dtype(tree["dtype"]).itemsize]
    if isinstance(tree, dict):
        return [size for part in tree.values() for size in _sizes(part)]
    return []


def _with_arrays(tree: Any, blocks: list[bytes]) -> Any:
    if _is_block(tree):
        dtype = np.dtype(tree["dtype"])
        if dtype.kind not in _KINDS:
            raise Damaged(f"it holds {dtype}")
        array = np.frombuffer(blocks[tree["@"]], dtype).reshape(tree["shape"])
        array = array.astype(dtype.newbyteorder("="))  # its own memory, in this machine's order of bytes
        return array[()] if array.ndim == 0 else array
    if isinstance(tree, dict):
        return {name: _with_arrays(part, blocks) for name, part in tree.items()}
    return tree
