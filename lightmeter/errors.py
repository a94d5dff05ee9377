"""Exceptions that end a command with a one-sentence message and an exit code."""


class LightmeterError(Exception):
    """A command failed.

    The message is one sentence: what is wrong and what to do.

    Attributes:
        exit_code: Exit code of the process.
    """

    exit_code = 1


class UsageError(LightmeterError):
    """A command was used incorrectly: an invalid option, path, name or setting."""

    exit_code = 2


class Interrupted(LightmeterError):
    """The user interrupted a command; the message says how to resume."""

    exit_code = 130
