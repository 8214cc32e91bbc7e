"""Errors that a user can mend; each message says what is wrong and what to do."""


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


class MissingDependencyError(GantoolsError):
    """A package that this needs, an extra of gantools, is not installed."""


class GantoolsWarning(UserWarning):
    """What a user should know of a result, in one sentence: how it was had where the usual way is closed."""


def out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that a device's memory, or the computer's, ran out; PyTorch has no type for both."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error) or "OutOfMemory" in type(error).__name__


def first_line(error: Exception) -> str:
    """Return the first line of what an error says, or its type where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
