"""What nbledger costs beside the plain tools: ``python -m bench`` measures it and writes docs/performance.md."""
