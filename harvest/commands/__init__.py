"""The commands of ``lightmeter harvest``, by what they are for."""
