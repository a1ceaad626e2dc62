"""What the commands say to the person who started them, and the one error that they end with."""

import sys


class DevclusterError(Exception):
    """Something that the user can put right: the message says what is wrong, where, and what to do."""


def say(text: str) -> None:
    """Write a line of progress to stderr, so that stdout stays free for results that scripts read."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
