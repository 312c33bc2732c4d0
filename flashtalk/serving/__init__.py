"""Engines as services: today in the caller's process."""
