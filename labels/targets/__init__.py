"""What photographs can be examples of: targets, each read from a definition in TOML."""
