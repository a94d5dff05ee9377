"""Worker processes for decoding and inspection."""
