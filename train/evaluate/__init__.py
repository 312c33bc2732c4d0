"""How good a checkpoint is, on drawn characters and voices that it never met: `python -m train.evaluate`."""
