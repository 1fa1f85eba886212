"""When customers come."""

import random


def times(count, rate, rush=1.5):
    """Seconds at which ``count`` customers come; in the second half ``rush`` times as many a second."""
    now, found = 0.0, []
    for number in range(count):
        now += random.expovariate(rate * (rush if number > count / 2 else 1.0))
        found.append(now)
    return found
