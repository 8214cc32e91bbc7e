"""Search random operators for a wrong eigenvalue marked converged, an omission without a warning, and wrong verdicts.

    python scripts/checks/search_wrong_spectra.py [--cases 10000] [--seed 0]

Every case is a spectrum of a kind that published solvers were wrong about (clusters, copies, exact rank, plus and minus
pairs, decay, the identity, zero, skew, Jordan, Grcar, large real outliers before small pairs), in float32 or float64,
with a random order, number and selection: LM, LR, SR, LI, and SM, NI, NU without the whole matrix. What `stability`
says of each spectrum, of fields and maps, and what `index` calls certain, is compared with the truth too. Prints every
failure and the count, and exits with 1 if there is one.
"""

import argparse
import collections
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.spectral_cases import GENERAL, REAL_SELECTIONS, SELECTIONS, SYMMETRIC, Case, complaint  # noqa: E402


def main() -> None:
    """Run the search."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop earlier after so long")
    parser.add_argument("--largest", type=int, default=150, help="order of the operators, at most")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(arguments.seed)
    begun, failures, total, done = time.monotonic(), 0, 0, collections.Counter()
    for _ in range(arguments.cases):
        family = str(rng.choice(SYMMETRIC + GENERAL))
        which = str(rng.choice(REAL_SELECTIONS if family in SYMMETRIC else SELECTIONS))
        kind = str(rng.choice(["field", "map"])) if family in GENERAL else "field"
        n, k = int(rng.integers(30, arguments.largest)), int(rng.integers(1, 8))
        case = Case(family, which, n, k, int(rng.integers(2**31)), bool(rng.integers(2)), kind)
        words = complaint(case)
        done[family] += 1
        done[which] += 1
        if words:
            failures += 1
            print(case, words, flush=True)
        total += 1
        if time.monotonic() - begun > 60 * arguments.minutes:
            break
    print(f"{failures} failures in {total} cases: {dict(sorted(done.items()))}")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
