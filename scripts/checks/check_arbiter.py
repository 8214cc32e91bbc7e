"""Check that the arbiter refuses no network that is right, and every one whose field or derivative is wrong.

    python scripts/checks/check_arbiter.py [--cases 200]

The first list has networks, losses and games that `jacobian` and `hessian` must accept at their default settings, in
float32, float64 and under bfloat16 autocast; a product of each is compared with central differences of plain autograd
on a deep copy in float64 (relative error at most 1e-3). The second has such that must be refused with a
`GantoolsError`, or told in a `GantoolsWarning` where the field is sound and its products are differences: parameters
captured from outside, NumPy and `.item()` on the way, wrong backward passes, caches, noise, stale copies. The same
cases come each time. Prints every failure and the totals, and exits with 1 if there is one.
"""

import argparse
import collections
import random
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from arbiter.broken import broken  # noqa: E402
from arbiter.cases import Case  # noqa: E402
from arbiter.healthy import healthy  # noqa: E402

from gantools.errors import GantoolsError, GantoolsWarning  # noqa: E402

TOLERANCE = 1e-3  # of a product's relative error


def check_healthy(make: Callable[[], Case]) -> tuple[str | None, float | None]:
    """Return what is wrong about a case that is right, and the relative error of a product where it was compared."""
    case = make()
    try:
        error = case.error(case.operator())
    except Exception as reason:  # whatever comes, it should not
        return f"{case.name}: {type(reason).__name__}: {reason}", None
    if error is not None and not error <= TOLERANCE:
        return f"{case.name}: a product is off by {error:.1e}", error
    return None, error


def check_broken(make: Callable[[], Case]) -> tuple[str | None, str]:
    """Return what is wrong about a case that must be noticed, and the beginning of the sentence that tells.

    What has no right second derivative but a sound field is told in a warning, and its products are differences.
    """
    case = make()
    try:
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", GantoolsWarning)
            operator = case.operator()
    except GantoolsError as reason:
        return None, " ".join(str(reason).split()[:4])
    except Exception as reason:
        return f"{case.name}: {type(reason).__name__}: {reason}", "another error"
    try:
        size = case.error(operator)
        words = [str(one.message) for one in told if issubclass(one.category, GantoolsWarning)]
        if words and operator.method == "difference" and size is not None and size <= TOLERANCE:
            return None, "differenced: " + " ".join(words[0].split()[:4])
        error = f"a product is off by {size:.1e}"
    except Exception as reason:
        error = f"and cannot be compared: {reason}"
    return f"{case.name}: accepted, {error}", "accepted"


def check(count: int) -> int:
    """Check so many cases of both lists, print failures and totals, and return the number of failures."""
    failures, errors, sentences = 0, [], collections.Counter()
    for number, make in enumerate(healthy(count)):
        complaint, error = check_healthy(make)
        errors += [] if error is None else [error]
        if complaint:
            failures += 1
            print(f"healthy {number}: {complaint}", flush=True)
    print(
        f"healthy: {count - failures} of {count} accepted and right, {len(errors)} of them compared with differences, "
        f"largest relative error {max(errors, default=0.0):.1e}",
        flush=True,
    )
    missed = 0
    for number, make in enumerate(broken(count)):
        complaint, sentence = check_broken(make)
        sentences[sentence] += 1
        if complaint:
            missed += 1
            print(f"broken {number}: {complaint}", flush=True)
    print(f"broken: {count - missed} of {count} refused or told: {dict(sentences.most_common())}")
    return failures + missed


def main() -> None:
    """Run the check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=200, help="of each list")
    count = parser.parse_args().cases
    torch.set_num_threads(1)
    random.seed(0)  # noise in some losses comes from there
    np.random.seed(0)  # noqa: NPY002
    warnings.simplefilter("ignore")  # of networks that are odd on purpose
    sys.exit(check(count) > 0)


if __name__ == "__main__":
    main()
