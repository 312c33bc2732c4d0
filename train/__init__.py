"""Training: the drawn characters, SFT, self-correcting DMD. Nothing in flashtalk/ imports it."""
