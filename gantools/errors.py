"""Errors that a user can mend; each message says what is wrong and what to do."""

import re


class GantoolsError(ValueError):
    """A mistake in what a user passed; the message says what is wrong and what to do.

    The command line prints the message alone and exits with 2. It derives from `ValueError`, so library users who
    never heard of it catch it all the same.
    """


class NonFiniteFieldError(GantoolsError):
    """A player's gradient, or the step made from it, is NaN or infinite.

    Attributes:
        finding: the message without what was done about it and what to do.
        player: the player's name, where one is known.
        step: the training step, where there is one.
    """

    def __init__(self, finding: str, remedy: str = "", player: str | None = None, step: int | None = None):
        super().__init__(f"{finding}; {remedy}" if remedy else finding)
        self.finding, self.player, self.step = finding, player, step


class NoDerivativeError(GantoolsError):
    """PyTorch has no right derivative of a field, where central differences may have one.

    Attributes:
        finding: the message without what to do.
    """

    def __init__(self, finding: str, remedy: str):
        super().__init__(f"{finding} {remedy}")
        self.finding = finding


class MissingDependencyError(GantoolsError):
    """A package that this needs, an extra of gantools, is not installed."""


class FolderInUseError(GantoolsError):
    """Another process writes the folder."""


class GantoolsWarning(UserWarning):
    """What a user should know of a result, in one sentence: how it was had where the usual way is closed."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device's memory, or the computer's, ran out; PyTorch has no type for both."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "OutOfMemory" in type(error).__name__


# What PyTorch says of tensors on two devices, of a generator of another one, and of one that NumPy cannot read.
_TWO_DEVICES = re.compile(
    r"the same device|two devices|\bexpected device|device type for generator|device type tensor to numpy"
    r"|expected on (?:cuda|mps|xpu)|on MPS device"
    r"|\(torch\.(?:cuda|mps|xpu)\.\w+\).*\(torch\.\w+\)|\(torch\.\w+\).*\(torch\.(?:cuda|mps|xpu)\.\w+\)"
)


def two_devices(error: BaseException) -> bool:
    """Return whether an error says that tensors are on different devices; PyTorch has no type for it."""
    return isinstance(error, (RuntimeError, TypeError, ValueError)) and bool(_TWO_DEVICES.search(str(error)))


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, with the next where a colon ends it; its type if it says nothing."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])[:200]
