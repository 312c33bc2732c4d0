"""Toys whose answers are known prove the objectives of train/losses. Results: docs/results/experiments."""
