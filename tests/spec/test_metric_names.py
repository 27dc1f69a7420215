from flowbench.compare.runs import METRICS as READ
from flowbench.spec.metrics import METRICS, Metric, by_name


def test_a_pattern_stands_for_each_of_its_alternatives():
    metric = Metric("a/{b,c}/d{,_se}", "", "")
    assert list(metric.names()) == ["a/b/d", "a/b/d_se", "a/c/d", "a/c/d_se"]


def test_no_name_has_two_meanings():
    names = [name for metric in METRICS for name in metric.names()]
    assert len(names) == len(set(names)) == len(by_name())


def test_whatever_comparisons_read_is_documented():
    assert [name for name in READ if name not in by_name()] == []
