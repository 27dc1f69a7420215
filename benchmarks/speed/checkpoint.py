"""The trained residual flow whose sampling is timed: `python -m benchmarks.speed.checkpoint`.

Untrained flows flatter: their blocks contract within 4 evaluations, where trained ones take 12 and
more. It is trained on handwritten digits of 8 x 8 pixels, as vectors in flow coordinates.
"""

from math import log
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor
from torch.optim import AdamW

from flowbench.families.checkpoint import load_flow, save_flow
from flowbench.families.registry import create
from flowbench.families.residual import Residual

PATH = Path(__file__).with_name("residual.pt")
C, MAPS = 0.9, 3
"""Bound of each linear map, and how many there are in a branch."""
LEVELS, LAMBDA = 17, 0.01
STEPS, BATCH = 1500, 256


def digits(count: int, *, seed: int = 0) -> Tensor:
    """Return dequantised digits after a logit, standardised, ``(count, 64)``; they repeat."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.tensor(load_digits().data, dtype=torch.float32)
    rows = levels[torch.arange(count) % len(levels)]
    inside = (
        LAMBDA + (1 - 2 * LAMBDA) * (rows + torch.rand(rows.shape, generator=generator)) / LEVELS
    )
    y = torch.logit(inside)
    everything = torch.logit(LAMBDA + (1 - 2 * LAMBDA) * (levels + 0.5) / LEVELS)
    return (y - everything.mean(0)) / everything.std(0).clamp(min=0.3)


def architecture(depth: int = 8, width: int = 128) -> Residual:
    """Build the flow, at its start."""
    options: dict[str, Any] = {
        "depth": depth,
        "hidden": (width,) * (MAPS - 1),
        "lipschitz": C**MAPS,
    }
    flow = create("residual", event_shape=(64,), log_det="roulette", **options)
    assert isinstance(flow, Residual)
    return flow


def train(flow: Residual, steps: int = STEPS) -> float:
    """Fit the digits by maximum likelihood; return the last steps' mean log-density in nats."""
    optimiser = AdamW(flow.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    flow.train()
    flow.initialise(digits(BATCH))
    rows, last, everything = torch.arange(BATCH), 0.0, digits(1797)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 1e-3 * (1 - step / steps)
        everything = digits(1797, seed=step) if step % 7 == 0 else everything
        start = BATCH * (step % 7)
        flow.key_noise(0, step, rows)
        log_prob = flow(everything[start : start + BATCH]).mean()
        optimiser.zero_grad()
        (-log_prob).backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), 1.0)
        optimiser.step()
        flow.after_step()
        last = 0.98 * last + 0.02 * float(log_prob.detach())
    return last


def trained() -> Residual:
    """Load the committed flow."""
    flow = load_flow(PATH)
    assert isinstance(flow, Residual)
    return flow


def main() -> None:
    """Train and write the checkpoint."""
    torch.manual_seed(0)
    flow = architecture()
    last = train(flow)
    save_flow(flow, PATH, {"steps": STEPS, "data": "digits", "log_prob": last})
    report = flow.eval().lipschitz_report(digits(BATCH))
    print(f"written: {PATH.name}; {last / 64 / log(2):.2f} bits/dim; {report}")


if __name__ == "__main__":
    main()
