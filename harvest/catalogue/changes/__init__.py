"""Changes of photographs that the catalogue has: updates by harvests, edits and removal."""
