"""A TensorBoard in a process of its own, for tests."""

import json
import re
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager


@contextmanager
def tensorboard_on(folder, *flags):
    """Start TensorBoard as a user would, on a free port of this machine, and yield its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder), "--port", "0", "--host", "127.0.0.1"]
    with subprocess.Popen([*command, *flags], stderr=subprocess.PIPE, text=True) as server:
        try:
            said = iter(server.stderr.readline, "")
            yield next(found[0] for line in said if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        finally:
            server.terminate()
            try:
                # Its last words are read: where they cannot be written, TensorBoard goes on.
                server.communicate(timeout=15)
            except subprocess.TimeoutExpired:
                server.kill()


def ask(address):
    """Return the JSON that an address answers with."""
    with urllib.request.urlopen(address, timeout=30) as answer:
        return json.load(answer)


def until(value, enough, seconds=60):
    """Call `value` until what it returns is enough, and return that."""
    deadline = time.monotonic() + seconds
    while not enough(found := value()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found
