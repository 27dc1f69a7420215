"""The figures, one a file: each first a tidy table, then drawn from it by Plotly."""
