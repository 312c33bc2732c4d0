"""Pictures of characters in poses, on CPU or GPU. Called by synthetic/clips, synthetic/sheet and the evaluation.

Method: a frame is cut into tiles of 8 x 8 samples; one cone a tile finds how far its rays may jump and drops tiles of
plain background; the live tiles of all frames form one list that is drawn in batches (synthetic/march).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from flashtalk.errors import InputError
from train.synthetic.background import background
from train.synthetic.columns import CAMERA_Z, Traits, frame_columns
from train.synthetic.march import FAR, Tracer
from train.synthetic.pose import POSE
from train.synthetic.shade import tone
from train.synthetic.traits import Character

TILE = 8
ROW = TILE * TILE
SIZE_MULTIPLE = 16
SAMPLES_AT_ONCE = 2**24
LENS = 0.15
"""Part of a pixel's light that falls on each neighbour in its row and column: about the blur of a camera."""
CONE = 0.85 * TILE
"""Radius of a tile's cone in sample widths: half a diagonal, and a fifth more."""


class Renderer:
    """Draws frames on one device. compiled: fuse the kernels (CUDA only; elsewhere the plain ones run).

    samples_per_axis: 1 (edges against the background are still smooth) or 2 (four samples a pixel).
    """

    def __init__(self, device: torch.device, *, compiled: bool = False, samples_per_axis: int = 1) -> None:
        if samples_per_axis not in (1, 2):
            raise InputError(f"{samples_per_axis} samples an axis; 1 or 2 can be drawn", code="samples")
        self._device = torch.device(device)
        self._compiled = compiled and self._device.type == "cuda"
        self._full_batches = self._compiled
        self._samples = samples_per_axis
        self._rows = 8192 if self._device.type == "cuda" else 512
        self._traits = Traits(self._device)

    @torch.no_grad()
    def frames(self, characters: Sequence[Character], poses_BP: Tensor, size_px: tuple[int, int]) -> Tensor:
        """uint8 RGB pixels_BCHW on the device; row i is characters[i] in poses_BP[i]. size_px: (height, width).

        Sizes are multiples of 16 with an aspect ratio from 1:2 to 2:1; else InputError.
        """
        _check(characters, poses_BP, size_px)
        group = max(1, SAMPLES_AT_ONCE // (size_px[0] * size_px[1] * self._samples**2))
        traits, poses = self._traits.rows(characters), poses_BP.to(self._device, torch.float32)
        parts = []
        for start in range(0, len(characters), group):
            some = {name: column[start : start + group] for name, column in traits.items()}
            parts.append(self._draw(frame_columns(some, poses[start : start + group], size_px), size_px))
        return torch.cat(parts)

    def _draw(self, columns: dict[str, Tensor], size_px: tuple[int, int]) -> Tensor:
        """Pixels of a group of frames."""
        columns["sample"] = 2 * columns["half_height"] / (size_px[0] * self._samples * CAMERA_Z)
        table, names = torch.stack(tuple(columns.values()), 1), tuple(columns)
        tracer = Tracer(names, self._device, self._compiled)
        behind = self._behind(columns, size_px)
        u, v = self._grid(size_px[0] * self._samples, size_px[1] * self._samples)
        tiles_u, tiles_v = _tiles(u[None, None])[:, 0], _tiles(v[None, None])[:, 0]
        depth = self._scout(tracer, table, names, tiles_u.mean(1), tiles_v.mean(1))
        display = tone(behind)
        for chosen in self._batches((depth < FAR).flatten().nonzero()[:, 0]):
            frame, tile = chosen // depth.shape[1], chosen % depth.shape[1]
            origin, ray = _rays(table[frame], names, tiles_u[tile], tiles_v[tile])
            safe = (depth.flatten()[chosen, None] - 0.02).expand_as(ray[0]).contiguous()
            display[chosen] = tracer.draw(table[frame], origin, ray, safe, behind[chosen])
        return self._assemble(display, len(table), size_px)

    def _batches(self, rows: Tensor) -> Iterator[Tensor]:
        """Row numbers in batches; compiled kernels get full ones, the last filled up with a row that is drawn twice."""
        for start in range(0, len(rows), self._rows):
            part = rows[start : start + self._rows]
            missing = self._rows - len(part) if self._full_batches else 0
            yield torch.cat((part, part[:1].expand(missing)))

    def _scout(self, tracer: Tracer, table: Tensor, names: tuple[str, ...], u: Tensor, v: Tensor) -> Tensor:
        """Safe depth of every tile, [frames, tiles]; 64 cones of one frame make one row of the kernel."""
        frames, tiles = len(table), len(u)
        u, v = (torch.nn.functional.pad(side, (0, -tiles % ROW)).view(-1, ROW) for side in (u, v))
        depth = torch.empty(frames * len(u), ROW, device=self._device)
        for chosen in self._batches(torch.arange(len(depth), device=self._device)):
            rows, group = table[chosen // len(u)], chosen % len(u)
            depth[chosen] = tracer.scout(rows, *_rays(rows, names, u[group], v[group]), CONE)
        return depth.view(frames, -1)[:, :tiles]

    def _grid(self, height: int, width: int) -> tuple[Tensor, Tensor]:
        """u and v [height, width] of sample centres: v from 1 (top) to -1, u in the same unit to the right."""
        v = 1 - (torch.arange(height, device=self._device) + 0.5) * (2 / height)
        u = ((torch.arange(width, device=self._device) + 0.5) * 2 - width) / height
        return u.expand(height, width), v[:, None].expand(height, width)

    def _behind(self, columns: dict[str, Tensor], size_px: tuple[int, int]) -> Tensor:
        """Linear RGB of the background as tiles [frames * tiles, 3, 64]."""
        u, v = self._grid(*size_px)
        picture = background(u[None], v[None], {name: column[:, None, None] for name, column in columns.items()})
        return _tiles(picture.repeat_interleave(self._samples, 2).repeat_interleave(self._samples, 3))

    def _assemble(self, display: Tensor, frames: int, size_px: tuple[int, int]) -> Tensor:
        """Tiles back to pictures, samples averaged to pixels."""
        n = self._samples
        rows, columns = size_px[0] * n // TILE, size_px[1] * n // TILE
        pixels = display.view(frames, rows, columns, 3, TILE // n, n, TILE // n, n).mean((5, 7))
        pixels = pixels.permute(0, 3, 1, 4, 2, 5).reshape(frames, 3, *size_px)
        return (through_lens(pixels) * 255).round().to(torch.uint8)


def _tiles(picture: Tensor) -> Tensor:
    """[B, C, H, W] -> [B * tiles, C, 64], tiles row by row."""
    b, c, h, w = picture.shape
    cut = picture.reshape(b, c, h // TILE, TILE, w // TILE, TILE).permute(0, 2, 4, 1, 3, 5)
    return cut.reshape(-1, c, ROW)


def through_lens(pixels_BCHW: Tensor) -> Tensor:
    """Each pixel with a little of its neighbours: else edges are steps, which no camera shows and no codec keeps."""
    for dim in (2, 3):
        near = torch.cat((pixels_BCHW.narrow(dim, 0, 1), pixels_BCHW, pixels_BCHW.narrow(dim, -1, 1)), dim)
        sides = near.narrow(dim, 0, pixels_BCHW.shape[dim]) + near.narrow(dim, 2, pixels_BCHW.shape[dim])
        pixels_BCHW = (1 - 2 * LENS) * pixels_BCHW + LENS * sides
    return pixels_BCHW


def _rays(table: Tensor, names: tuple[str, ...], u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Origin and unit direction, each [3, rows, samples], of rays through points of the picture."""
    scale = table[:, names.index("half_height"), None] / CAMERA_Z
    ray = torch.stack((u * scale, v * scale, torch.full_like(u, -1.0)))
    zero = torch.zeros_like(u)
    origin = torch.stack((zero, zero + table[:, names.index("camera_y"), None], zero + CAMERA_Z))
    return origin, torch.nn.functional.normalize(ray, dim=0).contiguous()


def _check(characters: Sequence[Character], poses_BP: Tensor, size_px: tuple[int, int]) -> None:
    height, width = size_px
    if not characters or poses_BP.shape != (len(characters), len(POSE)):
        raise InputError(
            f"{len(characters)} characters and poses of shape {tuple(poses_BP.shape)}; give one pose of {len(POSE)} "
            "columns a character, and at least one",
            code="poses",
        )
    if min(size_px) < SIZE_MULTIPLE or height % SIZE_MULTIPLE or width % SIZE_MULTIPLE:
        raise InputError(f"{width}x{height} pixels; sides must be multiples of {SIZE_MULTIPLE}", code="size")
    if max(size_px) > 2 * min(size_px):
        raise InputError(f"{width}x{height} pixels; the aspect ratio may be 1:2 to 2:1", code="size")
