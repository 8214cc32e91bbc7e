"""A page of a headless Chromium for the tests of the live view."""

import pytest
from headless_browser import chromium


@pytest.fixture
def page():
    with chromium() as page:
        yield page
