"""What goes wrong while compiling, as exceptions of this package."""


class CompileError(RuntimeError):
    """`norse.compile` was asked for something that it can't do (with `fullgraph=True`: something must stay eager)."""


class InputError(ValueError):
    """What the user passed can't go into a layer; the message names the layer, what it expects and what came."""


class Unsupported(BaseException):
    """A part of the model can't be compiled; the message says why. It's caught, and that part stays eager.

    No Exception: it passes through users' code while that is traced, whose `except Exception` must not hide it.
    """
