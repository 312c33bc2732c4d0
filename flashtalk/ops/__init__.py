"""Kernels: fast operations, each with a plain twin. Models receive them as functions."""
