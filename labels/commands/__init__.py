"""The commands of ``lightmeter labels``."""
