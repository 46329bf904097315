"""A contestant's process, as the driver sees it."""

import contextlib
import json
import os
import subprocess
import threading
from types import TracebackType
from typing import Any, Self

from benchmarks.contestants import PEERS, Contestant


class Failure(Exception):
    """A contestant couldn't do what it was asked; the message is its own."""


class Process:
    """Runs a contestant's program and asks it. Between questions it sleeps.

    Args:
        contestant: whose program.
        threads: how many cores it may use.
        cache: an empty folder: what the contestant compiles must be built here and now.
        patience: the seconds after which an answer is given up.

    Raises:
        Failure: if it can't be started.
    """

    def __init__(self, contestant: Contestant, threads: int, cache: str, patience: float = 600.0) -> None:
        environment = dict(os.environ)
        if not contestant.ours:
            environment.pop("PYTHONPATH", None)  # may lead to our norse, whose import name the published one has too
        count = str(threads)
        environment |= {"BENCH_THREADS": count, "OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count}
        # OpenMP's threads wait as they do by default: always asleep or always spinning, torch is up to twice as slow.
        environment.pop("OMP_WAIT_POLICY", None)
        # PYTHONSAFEPATH keeps the program's folder off its path.
        environment |= {"PYTHONSAFEPATH": "1", "NORSE_CACHE_DIR": cache}
        self.contestant, self.patience = contestant, patience
        try:
            self.process = subprocess.Popen(
                [contestant.python(), PEERS / contestant.script],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # warnings, with source text of other libraries
                text=True,
                env=environment,
            )
        except OSError as error:
            raise Failure(f"{contestant.python()}: {error.strerror}") from error
        try:
            self.versions: dict[str, str] = self._answer()["versions"]
        except Failure:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """The answer to a command, see benchmarks/peers/protocol.py.

        Raises:
            Failure: if the contestant fails at it, dies or takes too long.
        """
        assert self.process.stdin is not None
        try:
            print(json.dumps({"do": do} | arguments), file=self.process.stdin, flush=True)
        except OSError as error:
            raise Failure(f"{self.contestant.name} has ended") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        too_late = threading.Timer(self.patience, self.process.kill)
        too_late.start()
        line = self.process.stdout.readline()
        too_late.cancel()
        if not line:
            raise Failure(f"{self.contestant.name} gave no answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Failure(answer["error"])
        return answer

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()
