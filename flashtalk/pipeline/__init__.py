"""The streaming algorithm: conditions, sound window, schedule, denoising, colour, session."""
