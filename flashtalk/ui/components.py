"""Gradio's components with our manners: nothing that a visitor brings is decoded in the app's process, and a video
that takes finished segments. Used by ui/tabs.

Each is a template for Gradio: it shows itself through its parent's front end.
"""

from __future__ import annotations

from abc import ABCMeta
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.component_meta import ComponentMeta
from gradio.data_classes import FileData, ImageData

from flashtalk.media.segments import Segment

AGREED = "of somebody who agreed to it"
"""Whose faces and voices programs may bring; the page asks its visitors (ui/frame.py)."""


_UPLOADED = "A local file, which the client uploads; addresses are refused."


class _Quiet(ComponentMeta):
    """Makes components as Gradio does, but without the stub file that it writes beside their source."""

    def __new__(cls, name: str, bases: tuple[type, ...], attributes: dict[str, Any]) -> _Quiet:
        """The class; our components add no events, so there is nothing else to set up."""
        return ABCMeta.__new__(cls, name, bases, attributes)


class SegmentVideo(gr.Video, metaclass=_Quiet):
    """`gr.Video(streaming=True)` whose generator yields `Segment`s: no program is started and nothing encoded again."""

    is_template = True

    async def stream_output(  # type: ignore[override]  # we yield segments, not paths
        self, value: Segment | None, output_id: str, first_chunk: bool
    ) -> tuple[dict[str, Any] | None, dict[str, Any]]:
        """What Gradio's playlist gets."""
        del first_chunk
        playlist = {
            "path": output_id,
            "is_stream": True,
            "orig_name": "flashtalk.mp4",
            "meta": {"_type": "gradio.FileData"},
        }
        if value is None:
            return None, playlist
        return {"data": value.data, "duration": value.duration_s, "extension": ".ts"}, playlist

    async def flush_stream_output(self, output_id: str) -> None:
        """Nothing is held back: the last segment came with its end."""

    def end_stream_output(self, output_id: str) -> None:
        """Nothing to let go of."""


class PortraitInput(gr.Image, metaclass=_Quiet):
    """`gr.Image` that gives the path of what was chosen and does not look into it."""

    is_template = True

    def api_info(self) -> dict[str, Any]:
        """What programs give."""
        return super().api_info() | {"additional_description": _UPLOADED}

    def preprocess(self, payload: ImageData | None) -> str | None:
        """The path."""
        return None if payload is None else payload.path

    def postprocess(self, value: str | Path | None) -> ImageData | None:  # type: ignore[override]
        """A path that we chose."""
        return None if value is None else ImageData(path=str(value), orig_name=Path(value).name)


class VoiceInput(gr.Audio, metaclass=_Quiet):
    """`gr.Audio` that gives the path of what was chosen and does not look into it."""

    is_template = True

    def api_info(self) -> dict[str, Any]:
        """What programs give, without a lecture on Gradio's classes."""
        about = {name: value for name, value in super().api_info().items() if name != "description"}
        return about | {"additional_description": _UPLOADED}

    def preprocess(self, payload: FileData | None) -> str | None:
        """The path."""
        return None if payload is None else payload.path

    def postprocess(self, value: str | Path | None) -> FileData | None:  # type: ignore[override]
        """A path that we chose."""
        return None if value is None else FileData(path=str(value), orig_name=Path(value).name)
