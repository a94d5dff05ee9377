"""Errors that a person sees: one sentence, and an exit code."""


class LightmeterError(Exception):
    """Work failed. The message is one sentence: what is wrong, and what to do.

    Attributes:
        exit_code: what the process ends with.
    """

    exit_code = 1


class UsageError(LightmeterError):
    """The command was used wrongly: an option, a path, a name, a setting."""

    exit_code = 2


class Interrupted(LightmeterError):
    """A person stopped the work; the message says how to go on."""

    exit_code = 130
