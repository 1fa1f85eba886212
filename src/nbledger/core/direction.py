"""Which way a metric is better, as far as its name says."""

from __future__ import annotations

HIGHER, LOWER, UNKNOWN = 1, -1, 0

_LOWER = (
    "loss",
    "error",
    "err",
    "mae",
    "mse",
    "rmse",
    "mape",
    "deviance",
    "perplexity",
    "bic",
    "aic",
    "brier",
    "duration",
)
_HIGHER = (
    "acc",
    "auc",
    "f1",
    "r2",
    "precision",
    "recall",
    "score",
    "kappa",
    "mcc",
    "iou",
    "dice",
    "bleu",
    "rouge",
    "map",
)


def of(metric: str) -> int:
    """``HIGHER`` or ``LOWER``, or ``UNKNOWN`` where the name says neither, or both."""
    parts = metric.lower().replace(".", "_").replace("-", "_").split("_")
    lower = any(part.startswith(_LOWER) for part in parts)
    higher = any(part.startswith(_HIGHER) for part in parts)
    return UNKNOWN if lower == higher else LOWER if lower else HIGHER
