"""The whole character as one distance field, in world coordinates. Called by synthetic/march and synthetic/shade."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from train.synthetic.body import Body, body
from train.synthetic.extras import ear_rings, glasses, hat
from train.synthetic.hair import beard, brows, hair, locks
from train.synthetic.head import Eyes, ears, eyes, nose, skull, sockets
from train.synthetic.mouth import Mouth, mouth
from train.synthetic.shapes import Columns, Point, smooth_min

NECK_Y, NECK_Z = -0.72, -0.12
HIP_Y = -3.0


class Scene(NamedTuple):
    """Distances by material and the coordinates that paint needs."""

    materials: dict[str, Tensor]
    head: Point
    ax: Tensor
    torso: Point
    eye: Eyes
    lips: Mouth
    body: Body
    relief: Tensor


def distance(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Tensor:
    """Distance to the nearest surface (not exact: steps of 0.94 of it are safe nearly everywhere)."""
    return nearest(scene(x, y, z, P).materials)


def nearest(materials: dict[str, Tensor]) -> Tensor:
    """The smallest of the materials' distances."""
    d, *others = materials.values()
    for other in others:
        d = torch.minimum(d, other)
    return d


def scene(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Scene:
    """Every part of the character seen from one world point."""
    torso = _to_torso(x, y, z, P)
    head = _to_head(x, y, z, P)
    ax = head[0].abs()
    eye = eyes(*head, ax, P)
    base = sockets(skull(*head, ax, P), eye, P)
    ear = ears(head[1], head[2], ax, P)
    face = smooth_min(smooth_min(base, eye.lids, 0.11), nose(head, ax, P), 0.13)
    lips = mouth(*head, ax, smooth_min(face, ear, 0.05), P)
    relief = locks(*head, P)
    trunk = body(*torso, P)
    hairy = torch.minimum(hair(head, ax, ear, relief, P), beard(head, ax, lips, relief, P))
    worn = torch.minimum(glasses(head, ax, eye, P), ear_rings(head[1], head[2], ax, P))
    materials = {
        "skin": torch.minimum(smooth_min(lips.skin, trunk.neck, 0.06), trunk.skin),
        "eye": eye.ball,
        "hair": hairy,
        "brow": brows(head[2], base, eye, P),
        "teeth": lips.teeth,
        "tongue": lips.tongue,
        "metal": worn,
        "cloth": trunk.cloth,
        "wool": torch.minimum(hat(head, P), trunk.scarf),
    }
    return Scene(materials, head, ax, torso, eye, lips, trunk, relief)


def _to_torso(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Point:
    """World to torso: undo the shift, the lean about the hips and the turn about the spine."""
    a, b, c = x - P["shift_x"], y - P["shift_y"] - HIP_Y, z + 0.2
    a, b = P["lean_cos"] * a + P["lean_sin"] * b, P["lean_cos"] * b - P["lean_sin"] * a
    a, c = P["turn_cos"] * a - P["turn_sin"] * c, P["turn_cos"] * c + P["turn_sin"] * a
    return a, b + HIP_Y, c - 0.2


def _to_head(x: Tensor, y: Tensor, z: Tensor, P: Columns) -> Point:
    """World to head: undo the rotation about the top of the neck, which leans with the torso."""
    a, b, c = x - P["pivot_x"], y - P["pivot_y"], z - NECK_Z
    return (
        P["r00"] * a + P["r10"] * b + P["r20"] * c,
        P["r01"] * a + P["r11"] * b + P["r21"] * c + NECK_Y,
        P["r02"] * a + P["r12"] * b + P["r22"] * c + NECK_Z,
    )
