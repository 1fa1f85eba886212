"""What the ledger knows and does: no IPython, no tornado, no printing, no change of directory."""
