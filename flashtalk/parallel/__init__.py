"""The placement of one stream's work on several ranks. Attached from outside by engine/ranks.py."""
