"""How the fuzz tests run: few fixed examples in CI, many random ones with HYPOTHESIS_PROFILE=long.

    HYPOTHESIS_PROFILE=long FUZZ_TIMES=100 pytest tests/test_fuzz*.py        # or make fuzz-problems

FUZZ_TIMES multiplies the numbers of examples; FUZZ_SEED makes a long run repeat; FUZZ_SHRINK=0 prints
a failing example as it was found. The line that reproduces it is printed too.
"""

import os

from hypothesis import HealthCheck, Phase, seed, settings

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"
TIMES = float(os.environ.get("FUZZ_TIMES", "100" if LONG else "1"))
SHRINK = os.environ.get("FUZZ_SHRINK") != "0"
SEED = os.environ.get("FUZZ_SEED")


def options(examples):
    """Settings of a test that tries so many examples in CI."""
    return settings(
        max_examples=max(1, int(examples * TIMES)),
        derandomize=not LONG,
        print_blob=LONG,
        database=None,
        deadline=None,
        phases=(Phase.explicit, Phase.generate) + ((Phase.shrink,) if SHRINK else ()),
        suppress_health_check=list(HealthCheck),
    )


def fuzz(examples):
    """A decorator, above @given: so many examples in CI."""

    def decorate(test):
        test = options(examples)(test)
        return seed(int(SEED))(test) if LONG and SEED else test

    return decorate
