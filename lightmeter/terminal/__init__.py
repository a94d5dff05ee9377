"""The terminal: command groups, completion, output and tables."""
