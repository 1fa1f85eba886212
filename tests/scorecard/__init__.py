"""The reliability and security scorecard: forty faults, each caused for real, ours and the plain tools' side by side."""
