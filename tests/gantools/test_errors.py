"""What is quoted of other libraries' errors."""

import pytest

from gantools.errors import first_line


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        ("no such file\nmore", "no such file"),
        ("'inductor' raised:\nCppCompileError: C++ error\n\nCommand:", "'inductor' raised: CppCompileError: C++ error"),
        ("\n  indented", "indented"),
        ("raised:", "raised:"),
        ("", "ValueError"),
    ],
)
def test_the_first_line_of_an_error_says_something(text, quoted):
    assert first_line(ValueError(text)) == quoted
