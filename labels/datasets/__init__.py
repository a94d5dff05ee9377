"""Data sets: collect, group, split, freeze, verify and export."""
