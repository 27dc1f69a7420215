"""Figures, tables and pages made from the record."""
