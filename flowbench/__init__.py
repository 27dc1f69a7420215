"""FlowBench: compare normalizing-flow families on your data."""
