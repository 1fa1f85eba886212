"""A hall with counters."""

from sim.arrivals import times
from sim.hall import waits

__all__ = ["times", "waits"]
