"""Flows of other libraries, of the architecture and with the weights of a flow of FlowBench.

Each function takes FlowBench's flow and returns the library's, built of the library's own layers
as its users build them.
"""
