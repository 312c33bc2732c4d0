"""Live conversation in the browser: socket, sessions, packing, and the page's own files in static/."""
