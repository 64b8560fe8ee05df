"""A pytest plugin: of the cases of each test function at most as many as DRSL_CASES_EACH says.

Spread over the list of cases, the same ones every time. For tools that run the tests again and again.
"""

import os


def pytest_collection_modifyitems(config, items):
    most = int(os.environ["DRSL_CASES_EACH"])
    cases = {}
    for item in items:
        if "cuda" not in item.keywords:
            cases.setdefault(item.nodeid.partition("[")[0], []).append(item)
    kept = set()
    for some in cases.values():
        n = min(most, len(some))
        kept.update(some[k * len(some) // n] for k in range(n))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]
