"""The names of the dialects, for type checkers and the command line; `dialects.py` says what they are.

It imports nothing, so that `norse --help` needs neither nir nor torch.
"""

from typing import Literal

DialectName = Literal["nir", "norse", "snntorch", "sinabs", "rockpool", "spyx"]
