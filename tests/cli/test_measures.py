from flowbench.cli.measures import measure_rows


def test_a_sampler_that_cannot_keep_an_error_says_so_beside_the_speed_that_it_has():
    metrics = {
        "sampling/b1/latency_ms_at_1e-4": 2.5, "sampling/b1/samples_per_second_at_1e-4": 400.0
    }  # fmt: skip
    labels = {"speed_at_1e-5": "not timed: error 1.5e-05 at the tightest setting"}
    assert list(measure_rows(metrics, labels, "validation")) == [
        ("sampling, batch 1", "2.50 ms, 400 samples/s, at an error of 1e-4"),
        ("sampling at an error of 1e-5", labels["speed_at_1e-5"]),
    ]


def test_a_refused_importance_weighting_is_a_row():
    rows = dict(measure_rows({}, {"importance": "no draws"}, "test"))
    assert rows == {"importance-weighted": "refused: no draws"}


def test_the_worst_kind_of_unseen_input_is_named():
    metrics = {
        f"inversion/{kind}/flow/max": error
        for kind, error in {
            "uniform": 1e-6, "gaussian": 2e-6, "rademacher": 1e-6, "far": 3e-3, "shuffled": 1e-6
        }.items()
    }  # fmt: skip
    rows = dict(measure_rows(metrics, {}, "test"))
    assert rows == {"inversion error, unseen inputs": "0.0030, the worst of 5 (far)"}
