"""The life of payments through Stripe's own client for Python, unmodified. One line per scenario; exit code 1 when one
is not as it should be. What it talks to is named by SDK_BASE, SDK_SECRET_KEY, SDK_PUBLISHABLE_KEY, SDK_ADMIN (the
simulator's handles) and SDK_ACCOUNT; SDK_ONLY, a part of their names, leaves only some scenarios."""

import os
import sys
import time
import traceback

from scenarios import (
    customers,
    errors,
    idempotency,
    money,
    paging,
    payments,
    reading,
    refunds,
    sessions,
    steps,
    three_d_secure,
    webhooks,
)
from world import World

# The last one moves the simulator's clock by days, which nobody else is to notice.
MODULES = [
    payments,
    steps,
    three_d_secure,
    refunds,
    customers,
    reading,
    sessions,
    errors,
    idempotency,
    webhooks,
    paging,
    money,
]


def main():
    scenarios = {name: run for module in MODULES for name, run in module.SCENARIOS.items()}
    only = os.environ.get("SDK_ONLY", "")
    world = World()
    failed = []
    for name, run in scenarios.items():
        if only not in name:
            continue
        begun = time.monotonic()
        try:
            run(world)
            print(f"ok       {name} ({round((time.monotonic() - begun) * 1000)} ms)")
        except Exception:
            failed.append(name)
            print(f"FAILED   {name}\n{traceback.format_exc()}")
    if failed:
        print(f"\n{len(failed)} of {len(scenarios)} scenarios failed:", *failed, sep="\n")
        sys.exit(1)
    chosen = "the chosen" if only else f"all {len(scenarios)}"
    print(f"\n{chosen} scenarios are as they should be")


if __name__ == "__main__":
    main()
