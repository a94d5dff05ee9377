"""The card of a data set: tables, plots, advisories and shortcut baselines."""
