"""Floor 1, bytes: sound, pictures and video files in and out. Knows Pillow, PyAV and OpenCV; knows no network."""
