"""Photo stores: original bytes, addressed by their SHA-256, in a folder or in S3-compatible object storage."""
