"""The networks: single-device, stateless, with the published tensor names."""
