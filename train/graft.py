"""Carries what one training changed over to weights of another: base + share (after - before), in every network.

    python -m train.graft OUT --base STUDENT --after TEACHER_NOW --before TEACHER_THEN --share 0.5

Task arithmetic (Ilharco et al., arXiv 2212.04089), not in the paper: a student takes part in what its teacher
learnt since, without a new distillation. docs/results/small-model.md says what came of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer
from safetensors.torch import load_file
from torch import Tensor

from flashtalk.checkpoint import read_manifest, write_manifest, write_tensors
from flashtalk.errors import InputError
from train.launch import command

Files = dict[str, dict[str, Tensor]]
"""File -> name -> tensor."""


def graft(out: Path, base: Path, after: Path, before: Path, share: float = 1.0) -> None:
    """Write the new folder `out`: `base` with the change added, in the layout, sizes and types of `base`.

    All are folders in the served layout, of one model. Raises CheckpointError, InputError(graft).
    """
    if out.exists():
        raise InputError(f"{out} is there already; name a new folder", code="graft")
    own, then, now = (_tensors(folder) for folder in (base, before, after))
    for one, folder in ((then, before), (now, after)):
        if odd := sorted(_shapes(one) ^ _shapes(own)):
            raise InputError(f"{folder} and {base} differ in {odd[0]}; give checkpoints of one model", code="graft")
    shutil.copytree(base, out)
    for file, tensors in own.items():
        moved = {name: _moved(tensor, now[file][name], then[file][name], share) for name, tensor in tensors.items()}
        write_tensors(out / file, moved)
    write_manifest(out, "train.graft", None)


def _tensors(folder: Path) -> Files:
    files = (file for file in read_manifest(folder)["files"] if file.endswith(".safetensors"))
    return {file: load_file(folder / file) for file in files}


def _shapes(files: Files) -> set[tuple[str, str, tuple[int, ...]]]:
    return {(file, name, tuple(tensor.shape)) for file, tensors in files.items() for name, tensor in tensors.items()}


def _moved(tensor: Tensor, now: Tensor, then: Tensor, share: float) -> Tensor:
    """In float32, rounded once; numbers that are no weights stay."""
    if not tensor.is_floating_point():
        return tensor
    return (tensor.float() + share * (now.float() - then.float())).to(tensor.dtype)


@command
def main(
    out: Path,
    base: Annotated[Path, typer.Option(help="The weights that are changed.")],
    after: Annotated[Path, typer.Option(help="Other weights after a training, ...")],
    before: Annotated[Path, typer.Option(help="... and before it.")],
    share: Annotated[float, typer.Option(help="Of that change.")] = 1.0,
) -> None:
    """Write BASE with what was trained from BEFORE to AFTER added to the folder OUT."""
    graft(out, base, after, before, share)
    typer.echo(f"checkpoint: {out}")


if __name__ == "__main__":
    typer.run(main)
