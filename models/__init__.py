"""Learn to tell how a photograph was made; the result is a run folder."""
