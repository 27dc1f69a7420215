"""A trial that follows the protocol and trains nothing; its family's keys say how it behaves.

`behave`: complete, slow (until the file `go` is beside the runs), die_once (kill -9 of itself in
the first attempt), die_always, diverge, raise, silent (exit 0, no result), full (no disk space),
not_invertible. Its bits/dim is `|log10(learning_rate) + 3| + depth / 100`, 1 / epoch worse before
the end; `measured` are further metrics of its result.
"""

import math
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from flowbench.run_directory import DISK_FULL, RunDirectory, TrialResult, write_atomically


def main(arguments: list[str]) -> int:
    if arguments[0] == "--speed":
        for path in arguments[1:]:
            metrics = {"sampling/b1/samples_per_second": 10.0}
            result = TrialResult(outcome="completed", metrics=metrics, labels={"device": "cpu"})
            write_atomically(Path(path) / "speed.json", result.model_dump_json())
        return 0
    run = RunDirectory(Path(arguments[0]))
    attempt = run.attempt(int(arguments[2]))
    spec = run.spec()
    began = time.time()
    keys = spec.family.hyperparameters
    behave = keys.get("behave", "complete")
    with (run.path.parent / "started").open("a") as file:
        file.write(f"{run.id} {attempt.number}\n")
    attempt.append_event(
        "start",
        {"device": "cpu", "data_hash": "d0", "baselines": {"gaussian/val/bits_per_dim": 7.0}},
    )
    bits = abs(math.log10(spec.training.learning_rate) + 3) + keys.get("depth", 0) / 100
    if keys.get("bad_until") is not None:
        bits += 100
    for epoch in range(spec.training.max_epochs if spec.training.max_epochs < 100 else 3):
        metrics = {"val/bits_per_dim": bits + 1 / (epoch + 1), "val/nats": 1.0}
        attempt.append_event("validation", {"epoch": epoch, "step": epoch, "metrics": metrics})
        first = attempt.number == 0
        if behave == "die_always" or (behave == "die_once" and first):
            os.kill(os.getpid(), signal.SIGKILL)
        while behave == "slow" and not (run.path.parent / "go").exists():
            time.sleep(0.02)
            if time.time() > began + 120:
                return 1  # whoever waits for it is long gone
        if spec.training.patience == 77:  # gives the driver time to judge
            time.sleep(0.3)
        if attempt.prune_requested:
            attempt.write_result(TrialResult(outcome="pruned", reason="as asked", epochs=epoch))
            return 0
    match behave:
        case "diverge":
            result = TrialResult(outcome="diverged", reason="the loss is NaN")
        case "not_invertible":
            result = TrialResult(
                outcome="not_invertible", reason="error 3", metrics={"val/bits_per_dim": 0.01}
            )
        case "raise":
            raise RuntimeError("the code is wrong")
        case "silent":
            return 0
        case "full":
            return DISK_FULL
        case _:
            prefix = "test" if spec.evaluation.split == "test" else "val"
            np.savez(attempt.path / "samples.npz", flow=np.zeros((2, 2)), data=np.ones((2, 2)))
            attempt.model.write_bytes(b"model")
            result = TrialResult(
                outcome="completed",
                metrics={f"{prefix}/bits_per_dim": bits, **keys.get("measured", {})},
                labels={"log_det": "exact", "device": "cpu"},
                epochs=spec.training.max_epochs,
                seconds=1.0,
            )
    attempt.write_result(result)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
