"""AdamW over float32 masters: warm-up and schedule, a clip that sees all ranks' gradients, bad gradients counted.

One `Optimiser` a network; the training loops call `backward` for every micro-batch and `step` once an update.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from flashtalk.errors import FlashTalkError
from train.muon import Muon
from train.ranks import Ranks


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """How a network learns. Defaults are the paper's student (lr 2e-6) with Self-Forcing's Adam."""

    kind: Literal["adamw", "muon"] = "adamw"
    """muon: for networks trained from nothing that each rank holds whole (train/muon)."""
    learning_rate: float = 2e-6
    betas: tuple[float, float] = (0.0, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    """On matrices only: not on biases, norms and modulations."""
    clip_norm: float = 10.0
    """Largest norm of all gradients together; 0 does not clip."""
    warmup_updates: int = 0
    schedule: Literal["constant", "cosine"] = "constant"
    cosine_floor: float = 0.1
    """Share of learning_rate that `cosine` ends with."""
    moments: Literal["float32", "bfloat16"] = "float32"
    """bfloat16 halves Adam's memory; its second moment is rounded at random, so that slow changes are not lost."""
    most_bad_in_a_row: int = 10
    """Updates skipped for gradients that are not finite, before the run gives up."""

    def problems(self) -> Iterator[str]:
        """What is wrong, as sentences."""
        if self.learning_rate <= 0:
            yield f"learning_rate {self.learning_rate} must be greater than 0"
        if not all(0 <= beta < 1 for beta in self.betas):
            yield f"betas {self.betas} must lie in [0, 1)"
        if not 0 <= self.cosine_floor <= 1:
            yield f"cosine_floor {self.cosine_floor} must lie in 0..1"
        for name in ("eps", "weight_decay", "clip_norm", "warmup_updates", "most_bad_in_a_row"):
            if getattr(self, name) < 0:
                yield f"{name} {getattr(self, name)} must not be negative"


@dataclass(frozen=True)
class Update:
    """What one `step` did: gradient_norm before clipping, over all ranks; `skipped` if it was not finite."""

    learning_rate: float
    gradient_norm: float
    skipped: bool


class Diverged(FlashTalkError):
    """Gradients stayed infinite or not a number."""

    code = "diverged"


class Optimiser:
    """AdamW for the parameters of `module` that require gradients. Moments exist from the start, as zeros.

    `updates` counts steps that moved the weights, `bad` those skipped. Build it after the weights are filled.
    replicas: the ranks that hold the same whole network, whose gradients it averages; None where they are sharded.
    """

    def __init__(
        self, module: nn.Module, config: OptimConfig, total_updates: int, *, replicas: Ranks | None = None
    ) -> None:
        self.config, self.total_updates, self._replicas = config, total_updates, replicas
        self._planned_updates = total_updates
        self.updates, self.bad, self._bad_in_a_row = 0, 0, 0
        self.parameters = {name: p for name, p in module.named_parameters() if p.requires_grad}
        _assert_masters(self.parameters)
        self.adam = self._optimizer()

    def backward(self, loss: Tensor, parts: int = 1) -> None:
        """Add the gradients of one of `parts` micro-batches of an update.

        Ranks reduce after each: keeping whole gradients until the last would cost a full copy of the weights.
        """
        (loss / parts).backward()

    def step(self) -> Update:
        """Move the weights along the gathered gradients and clear these. All ranks must call it. Raises Diverged."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        assert gradients, "step without backward"
        if self._replicas is not None:
            average_over_ranks(gradients, self._replicas)
        norm = _total_norm(gradients)
        rate = learning_rate(self.config, self.updates, self.total_updates)
        finite = math.isfinite(norm.item())
        if finite:
            self._move(norm, rate)
        self._count(finite)
        self.adam.zero_grad(set_to_none=True)
        return Update(rate, norm.item(), not finite)

    def stretch(self, share: float) -> None:
        """Let the schedule end after this share of the updates that were planned."""
        self.total_updates = max(1, round(self._planned_updates * share))

    def moments(self) -> Iterator[tuple[str, Tensor]]:
        """Adam's tensors under `parameter/moment`, for train/states.py."""
        for name, parameter in self.parameters.items():
            for moment, tensor in self.adam.state[parameter].items():
                yield f"{name}/{moment}", tensor

    def counters(self) -> dict[str, int]:
        """What else must be kept to go on as if never stopped."""
        return {"updates": self.updates, "bad": self.bad, "bad_in_a_row": self._bad_in_a_row}

    def set_counters(self, counters: dict[str, int]) -> None:
        """The inverse of `counters`."""
        self.updates, self.bad, self._bad_in_a_row = (counters[n] for n in ("updates", "bad", "bad_in_a_row"))

    def _optimizer(self) -> torch.optim.Optimizer:
        config, groups = self.config, _groups(self.parameters, self.config)
        if config.kind == "muon":
            assert not any(isinstance(p, DTensor) for p in self.parameters.values()), "muon needs whole matrices"
            return Muon(groups, rate=config.learning_rate, betas=config.betas, eps=config.eps)
        adam = AdamW16(groups, config) if config.moments == "bfloat16" else _FusedAdamW(groups, config)
        for parameter in self.parameters.values():
            adam.state[parameter] = _first_state(parameter, config)
        return adam

    def _move(self, norm: Tensor, rate: float) -> None:
        if self.config.clip_norm:
            clip_grads_with_norm_(self.parameters.values(), self.config.clip_norm, norm)
        for group in self.adam.param_groups:
            group["lr"] = rate
        self.adam.step()

    def _count(self, finite: bool) -> None:
        self.updates += finite
        self.bad += not finite
        self._bad_in_a_row = 0 if finite else self._bad_in_a_row + 1
        if self._bad_in_a_row > self.config.most_bad_in_a_row:
            raise Diverged(
                f"gradients were not finite {self._bad_in_a_row} times in a row: go back to an earlier checkpoint and "
                f"lower learning_rate ({self.config.learning_rate:g})"
            )


def average_over_ranks(gradients: list[Tensor], ranks: Ranks) -> None:
    """In place, as one message: the gradients of ranks that each hold a whole network."""
    if ranks.world == 1:
        return
    together = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(together)
    together /= ranks.world
    parts = together.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(g) for part, g in zip(parts, gradients, strict=True)])


def learning_rate(config: OptimConfig, update: int, total_updates: int) -> float:
    """The rate of update 0, 1, ...: linear warm-up, then constant or half a cosine down to the floor."""
    if update < config.warmup_updates:
        return config.learning_rate * (update + 1) / config.warmup_updates
    if config.schedule == "constant":
        return config.learning_rate
    length = max(1, total_updates - config.warmup_updates)
    done = min(1.0, (update - config.warmup_updates) / length)
    share = config.cosine_floor + (1 - config.cosine_floor) * 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * share


def decays(name: str, parameter: Tensor) -> bool:
    """Whether weight decay applies: weights of linears and convolutions."""
    return parameter.ndim >= 2 and name.rpartition(".")[2] == "weight"


class _FusedAdamW(torch.optim.AdamW):
    def __init__(self, groups: list[dict[str, Any]], config: OptimConfig) -> None:
        super().__init__(groups, lr=config.learning_rate, betas=config.betas, eps=config.eps, fused=True)


class AdamW16(torch.optim.Optimizer):
    """AdamW whose moments are kept in bfloat16 and computed in float32."""

    def __init__(self, groups: list[dict[str, Any]], config: OptimConfig) -> None:
        super().__init__(groups, {"lr": config.learning_rate, "betas": config.betas, "eps": config.eps})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of all parameters that have gradients."""
        assert closure is None, "closures are not used here"
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._move(parameter, group)

    def _move(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, (beta1, beta2) = self.state[parameter], group["betas"]
        weight, gradient, first, second = (_local(t) for t in (parameter, parameter.grad, *_moments(state)))
        state["step"] += 1
        m, v = first.float().lerp_(gradient, 1 - beta1), second.float().lerp_(gradient.square(), 1 - beta2)
        first.copy_(m)
        second.copy_(round_at_random(v))
        count = state["step"].item()
        size = group["lr"] / (1 - beta1**count)
        weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.addcdiv_(m, (v / (1 - beta2**count)).sqrt_().add_(group["eps"]), value=-size)


def round_at_random(values: Tensor) -> Tensor:
    """float32 -> bfloat16, up or down with the odds that keep the mean.

    Rounding to the nearest would stop a second moment: with beta 0.999 a change is smaller than half a step of bf16.
    """
    bits = values.contiguous().view(torch.int32)
    noise = torch.randint_like(bits, 0, 1 << 16)
    return (bits + noise).bitwise_and_(-(1 << 16)).view(torch.float32).to(torch.bfloat16)


def _groups(parameters: dict[str, nn.Parameter], config: OptimConfig) -> list[dict[str, Any]]:
    matrices = [p for name, p in parameters.items() if decays(name, p)]
    others = [p for name, p in parameters.items() if not decays(name, p)]
    groups = ({"params": matrices, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0})
    return [group for group in groups if group["params"]]


def _assert_masters(parameters: dict[str, nn.Parameter]) -> None:
    assert parameters, "nothing to train: no parameter requires a gradient"
    low = [name for name, p in parameters.items() if p.dtype != torch.float32]
    assert not low, f"{low[:3]} are not float32: at small learning rates updates vanish in the rounding"
    assert not any(p.is_meta for p in parameters.values()), "fill the weights before building their optimiser"


def _first_state(parameter: nn.Parameter, config: OptimConfig) -> dict[str, Tensor]:
    dtype = torch.bfloat16 if config.moments == "bfloat16" else torch.float32
    device = _local(parameter).device if config.moments == "float32" else torch.device("cpu")
    first, second = (torch.zeros_like(parameter, dtype=dtype, requires_grad=False) for _ in range(2))
    return {"step": torch.zeros((), device=device), "exp_avg": first, "exp_avg_sq": second}


def _moments(state: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    return state["exp_avg"], state["exp_avg_sq"]


def _local(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _total_norm(gradients: Iterable[Tensor]) -> Tensor:
    """The norm of all gradients of all ranks; each rank alone would see its own pieces only."""
    norm = get_total_norm(gradients)
    return norm.full_tensor() if isinstance(norm, DTensor) else norm
