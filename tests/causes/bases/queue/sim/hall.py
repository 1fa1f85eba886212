"""How long they wait."""

import random

PATIENCE = 12.0


def waits(arrivals, service, clerks):
    """The waits of all customers; those who would wait longer than ``PATIENCE`` leave."""
    free, found = [0.0] * clerks, []
    for came in arrivals:
        first = min(range(clerks), key=free.__getitem__)
        wait = max(0.0, free[first] - came)
        if wait > PATIENCE:
            continue
        free[first] = came + wait + random.expovariate(service)
        found.append(wait)
    return found
