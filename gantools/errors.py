"""The errors that a user can mend, each with a sentence that says how."""


class GantoolsError(ValueError):
    """Something a user handed over is wrong; the message says what, and what to do.

    The command line prints the message alone and exits with 2. It derives from `ValueError`, so library users who
    never heard of it catch it all the same.
    """


class NonFiniteFieldError(GantoolsError):
    """A player's gradient became NaN or infinite."""


class MissingDependencyError(GantoolsError):
    """A package that this needs, an extra of gantools, is not installed."""


def require_positive(**flags: int | None) -> None:
    """Refuse a count below 1 of the command line, by the name of its flag; None stands for a default."""
    for name, count in flags.items():
        if count is not None and count < 1:
            raise GantoolsError(f"--{name.replace('_', '-')} is {count}: pass at least 1.")
