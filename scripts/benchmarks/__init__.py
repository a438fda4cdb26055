"""What ``scripts/bench`` runs: it measures the project, and its peers beside it."""
