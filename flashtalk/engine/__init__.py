"""Weights on a device and the sessions that share them."""
