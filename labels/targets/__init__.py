"""Targets: rules that assign photographs to classes, each with a definition in TOML."""
