"""The query language of --where."""
