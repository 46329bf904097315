"""A process that reads HDF5 files for another: it may crash, hang or run out of memory on a damaged one, and is alone.

Run as a script, with the parent's sys.path as its argument. A line of JSON comes in for each file, {path, seconds,
bytes}; the answer is a line of JSON and then the bytes of all arrays in it. It imports nothing of the library.
"""

import json
import signal
import sys
from typing import Any

BLOCK = "@"  # the key that an array's description has in place of a group's names


def main() -> None:
    sys.path[:] = json.loads(sys.argv[1])
    out = sys.stdout.buffer
    import h5py  # type: ignore[import-untyped]

    out.write(b"ready\n")
    out.flush()
    for line in sys.stdin.buffer:
        request = json.loads(line)
        _limit_time(request["seconds"])
        _limit_memory(request["bytes"])
        blocks: list[bytes] = []
        try:
            with h5py.File(request["path"], "r") as file:
                answer: dict[str, Any] = {"tree": _group(file, blocks, Budget(request["bytes"]))}
        except NotNir as error:
            answer, blocks = {"error": str(error), "kind": "content"}, []
        except RecursionError:
            answer, blocks = {"error": "groups inside of groups without an end", "kind": "damage"}, []
        except MemoryError:
            answer, blocks = {"error": "it asks for more memory than a file of its size can need", "kind": "damage"}, []
        except Exception as error:  # what h5py makes of the library's errors: OSError, RuntimeError, KeyError, ...
            answer, blocks = {"error": f"{type(error).__name__}: {error}", "kind": "damage"}, []
        _limit_time(0)
        out.write(json.dumps(answer).encode() + b"\n")
        for block in blocks:
            out.write(block)
        out.flush()


class NotNir(Exception):
    """Sound HDF5 that holds what no NIR file does."""


class Budget:
    """How many bytes the arrays of a file may still take."""

    def __init__(self, size: int) -> None:
        self.left = size

    def spend(self, size: int, where: str) -> None:
        self.left -= size
        if self.left < 0:
            raise NotNir(f"{where}: expected no more than a file of this size can hold, got an array of {size} bytes")


def _group(group: Any, blocks: list[bytes], budget: Budget, depth: int = 0) -> dict[str, Any]:
    """A group as dictionaries and arrays. Links that lead out of it are refused: a file is data of its own."""
    import h5py

    if depth > 64:
        raise NotNir(f"{group.name}: expected at most 64 groups in each other")
    tree: dict[str, Any] = {}
    for key in group:
        name = key.encode("utf8", "backslashreplace").decode()  # what is no text can't be printed in a message
        where = f"{group.name.rstrip('/')}/{name}"
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise NotNir(f"{where}: expected data, got a link")
        budget.spend(256, where)  # of the file that a name takes, so that none can be said without an end
        item = group[key]
        if isinstance(item, h5py.Group):
            tree[name] = _group(item, blocks, budget, depth + 1)
        elif isinstance(item, h5py.Dataset):
            tree[name] = _array(item, where, blocks, budget)
        else:
            raise NotNir(f"{where}: expected data or a group, got {type(item).__name__}")
    return tree


def _array(item: Any, where: str, blocks: list[bytes], budget: Budget) -> Any:
    """Texts as they are, and numbers as a description whose bytes follow the answer."""
    import h5py

    if item.shape is None:
        return None
    size = int(item.size) * int(item.dtype.itemsize)
    budget.spend(size, where)
    if h5py.check_string_dtype(item.dtype) is not None:
        return _texts(item[()])
    if item.dtype.kind not in "fiubc":
        raise NotNir(f"{where}: expected numbers or texts, got {item.dtype}")
    value = item[()]
    blocks.append(value.tobytes())
    return {BLOCK: len(blocks) - 1, "dtype": item.dtype.str, "shape": list(item.shape)}


def _texts(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if isinstance(value, str) or value is None:
        return value or ""
    return [_texts(part) for part in value]


def _limit_time(seconds: float) -> None:
    """Of the processor, not of the clock: a busy machine is no damaged file. 0 ends the limit."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)  # whose signal nobody handles, so that it ends the process


def _limit_memory(more: int) -> None:
    """On top of what the process has now."""
    try:
        import resource
        from pathlib import Path

        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return  # no such limit on this system
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (own + 2 * more, hard))


if __name__ == "__main__":
    main()
