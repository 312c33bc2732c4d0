"""The commands of the `flashtalk` program, one module each: plain functions that cli.py calls with parsed options."""
