"""What a search measures beside other trials."""

import time

import numpy as np
import psutil
import torch

from flowbench.evaluation import evaluate
from flowbench.evaluation.rough import BATCH, REPEATS, peak_memory, rough_sampling_time
from flowbench.spec.run import EvaluationSpec
from flowbench.spec.vocabulary import SAMPLING_TIME


def test_a_sample_takes_its_share_of_the_time_of_a_batch(moons, flow_for, monkeypatch):
    flow = flow_for(moons, "planar", depth=2)
    sizes = []
    sample = flow.sample

    def slowly(n, *args, **kwargs):
        sizes.append(n)
        time.sleep(0.32 if len(sizes) == 1 else 0.032)  # the first call must not count
        return sample(n, *args, **kwargs)

    monkeypatch.setattr(flow, "sample", slowly)
    assert 0.5 <= rough_sampling_time(flow) < 5
    assert set(sizes) == {BATCH}
    assert 2 <= len(sizes) <= REPEATS + 1


def test_sampling_is_timed_where_a_search_asks_for_it(conditional, flow_for):
    flow = flow_for(conditional, "realnvp", depth=1, hidden=[8])
    spec = EvaluationSpec(speed=False, inversion_points=10)
    assert SAMPLING_TIME not in evaluate(flow, conditional, spec).metrics
    asked = spec.model_copy(update={"rough_speed": True})
    assert evaluate(flow, conditional, asked).metrics[SAMPLING_TIME] > 0


def test_memory_that_was_held_for_a_moment_is_in_the_peak():
    before = peak_memory(torch.device("cpu"))
    more = 100 * 2**20
    held = np.ones(int(before - psutil.Process().memory_info().rss) + 2 * more, dtype=np.uint8)
    del held
    assert peak_memory(torch.device("cpu")) > before + more
