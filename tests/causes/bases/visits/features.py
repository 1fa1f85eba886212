"""Features of a visit."""

import math


def scaled(value, top=30.0):
    """``value`` as a share of ``top``."""
    return value / top


def squashed(minutes, half=8.0):
    """Minutes between 0 and 1; ``half`` of them are one half."""
    return minutes / (minutes + half)


def shown(value):
    """For people: two digits."""
    return f"{value:.2f}"


def logit(z):
    return 1 / (1 + math.exp(-z))
