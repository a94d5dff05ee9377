"""Commands of ``lightmeter harvest`` and ``lightmeter catalogue``."""
