"""Real footage as published (lists of links and times) and downloaded by the user, read as training clips."""
