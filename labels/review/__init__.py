"""The review page: judging photographs from the keyboard, on this machine alone."""
