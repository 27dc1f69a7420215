"""Flows of other libraries under FlowBench's contract; each import is optional."""
