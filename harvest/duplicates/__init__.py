"""Near-duplicates across the catalogue: exact grouping of perceptual hashes, for collections of any size."""
