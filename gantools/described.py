"""How objects introduce themselves: a line that says what they are, and a row for each named part."""

import html

ROWS = 8  # parts that are shown; more are counted


class Described:
    """An object whose `repr`, in a terminal and in a notebook, is a head line and a row for each named part."""

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        """Return the head line, and each part's name and what it is."""
        raise NotImplementedError

    def __repr__(self) -> str:
        head, rows = self.described()
        return "\n".join([head, *(f"  {name!r}: {what}" for name, what in rows[:ROWS]), *_rest(rows)])

    def _repr_html_(self) -> str:
        head, rows = self.described()
        cells = (f"<tr><th>{html.escape(name)}</th><td>{html.escape(what)}</td></tr>" for name, what in rows[:ROWS])
        table = f"<table>{''.join(cells)}</table>" if rows else ""
        return f"<div>{html.escape(head)}{table}{''.join(_rest(rows))}</div>"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: "1 step", "12 steps"."""
    return f"{number} {noun}{'s' * (number != 1)}"


def in_bytes(count: float) -> str:
    """Return a number of bytes with its unit: "12 bytes", "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} GiB"


def _rest(rows: list[tuple[str, str]]) -> list[str]:
    return [f"  and {counted(len(rows) - ROWS, 'more part')}"] if len(rows) > ROWS else []
