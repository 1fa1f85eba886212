"""The one command tree: ``nbledger VERB`` in a terminal and ``%ledger VERB`` in a notebook."""
