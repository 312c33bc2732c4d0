"""serving/asked.py: what strangers may ask of an engine; how pages and programs ask is in tests/ui/test_asked.py."""

from __future__ import annotations

import pytest

from flashtalk.config_file import load_config
from flashtalk.errors import ConfigError
from flashtalk.serving.asked import asked_stream, offered_sizes


def test_a_compiled_engine_offers_no_size_for_which_all_would_wait() -> None:
    eager, compiled = load_config("h200x1", {"runtime.compile": False}), load_config("h200x1")
    assert (512, 512) in offered_sizes(eager)
    assert offered_sizes(compiled) == [(720, 416)]
    assert asked_stream(compiled, 5, {"width": 720, "height": 416}).seed == 5
    with pytest.raises(ConfigError, match="512×512 is not offered here; this engine was built for 720×416 alone"):
        asked_stream(compiled, None, {"width": 512, "height": 512})
