"""All tests keep what they compile in a directory of their own, so that none sees another run's kernels.

The verifier runs between the passes of every compilation.
"""

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("NORSE_CACHE_DIR")
    os.environ["NORSE_CACHE_DIR"] = str(tmp_path_factory.mktemp("kernels"))
    os.environ.setdefault("NORSE_DEBUG", "1")
    yield
    if before is None:
        del os.environ["NORSE_CACHE_DIR"]
    else:
        os.environ["NORSE_CACHE_DIR"] = before
