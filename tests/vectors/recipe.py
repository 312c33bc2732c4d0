"""How every tensor of the reference vectors is made from its name alone (numpy only).

tensor(name, shape)      a standard-normal array, float32, seeded by crc32 of the name
parameter(name, shape)   the same, scaled as a parameter: norm weights near 1, biases near 0
"""

import zlib

import numpy as np


def tensor(name, shape):
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    return rng.standard_normal(tuple(shape), dtype=np.float64).astype(np.float32)


def parameter(name, shape):
    shape = tuple(shape)
    z = tensor(name, shape)
    leaf = name.rsplit(".", 1)[-1]
    squeezed = [s for s in shape if s > 1]
    if leaf in ("gamma",) or (leaf == "weight" and len(squeezed) <= 1):
        return 1.0 + 0.1 * z
    if leaf == "bias":
        return 0.05 * z
    if leaf == "modulation":
        return 0.2 * z
    fan_in = int(np.prod(shape[1:])) if len(shape) > 1 else shape[0]
    return z / np.sqrt(max(fan_in, 1))
