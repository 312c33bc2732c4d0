"""xDiT's groups and its attention exchange USP, chosen by `parallel.exchange: xfuser`. Called by sequence.py.

The package cannot be imported without a GPU, hence only here and only where it is chosen.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from flashtalk.errors import ConfigError, InputError
from flashtalk.parallel.groups import Ranks

Usp = Callable[[Tensor, Tensor, Tensor, int], Tensor]
"""usp(q_BNLE, k_BNLE, v_BNLE, tokens) -> out_BNLE of equal, padded shares, of which `tokens` in front are real."""


def full_shares(length: int, ranks: int) -> tuple[int, ...]:
    """`length` in parts that are full but for the last ones: padded to equal lengths, padding comes last of all."""
    most = -(-length // ranks)
    return tuple(max(0, min(most, length - rank * most)) for rank in range(ranks))


def equal_shares(length: int, ranks: int) -> tuple[int, ...]:
    """`length` in equal parts; raises InputError (picture_size) where it does not divide."""
    if length % ranks:
        raise InputError(
            f"xDiT's ring attention takes equal shares, and {length} tokens do not divide by {ranks} ranks: choose "
            "another size, or parallel.exchange own",
            code="picture_size",
        )
    return (length // ranks,) * ranks


def load_usp(ranks: Ranks, ulysses: int, ring: int, dtype: torch.dtype) -> Usp:
    """Make xDiT's groups inside ours and give its USP. All ranks call it, once. Raises ConfigError if it is missing."""
    if ranks.device.type != "cuda":
        raise ConfigError(f"parallel.exchange xfuser needs CUDA devices, not {ranks.device}; `own` runs everywhere")
    try:
        from xfuser.core.distributed import (  # noqa: PLC0415  optional; looks for GPUs when imported
            init_distributed_environment,
            initialize_model_parallel,
        )
        from xfuser.core.distributed.attention_backend import AttentionBackendType  # noqa: PLC0415
        from xfuser.model_executor.layers.usp import USP  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            f"parallel.exchange xfuser: the package cannot be imported ({error}); install requirements-gpu.txt, or "
            "choose own"
        ) from error
    init_distributed_environment(ranks.world, ranks.rank, local_rank=ranks.device.index or 0, backend="nccl")
    initialize_model_parallel(sequence_parallel_degree=ranks.world, ulysses_degree=ulysses, ring_degree=ring)
    _make_runtime_state(ulysses, ring)
    half = dtype in (torch.bfloat16, torch.float16)
    kernel = AttentionBackendType.CUDNN if half else AttentionBackendType.SDPA_EFFICIENT

    def usp(q_BNLE: Tensor, k_BNLE: Tensor, v_BNLE: Tensor, tokens: int) -> Tensor:
        padded = q_BNLE.shape[2] * ranks.world > tokens
        real = {"valid_kv_len": tokens} if padded else None
        return USP(q_BNLE, k_BNLE, v_BNLE, combine_qkv_a2a=True, backend=kernel, attention_kwargs=real)

    return usp


def _make_runtime_state(ulysses: int, ring: int) -> None:
    """What USP asks for its settings. The package makes one without a pipeline for a single rank only (0.7.0)."""
    from xfuser.config.args import xFuserArgs  # noqa: PLC0415
    from xfuser.core.distributed import runtime_state  # noqa: PLC0415

    config, _ = xFuserArgs(ulysses_degree=ulysses, ring_degree=ring).create_config()
    state = object.__new__(runtime_state.ExternalRuntimeState)
    runtime_state.RuntimeState.__init__(state, config)
    runtime_state._RUNTIME = state
