"""The commands under ``lightmeter models``, by what they are for."""
