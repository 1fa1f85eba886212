"""The bench of *why do two runs differ*: pairs of real runs with a known cause, and what compare ranks first."""

GATE = 0.95
"""The share of pairs whose true cause must come first."""
