"""The report's figures, live: a Dash app on this machine that shows the record and running sweeps.

It imports no torch and asks no address but its own.
"""
