"""Talking characters that our own program draws: look, motion, speech, pictures."""
