"""The reason of an error in one line: for a version's `error` and the command `check`, whose readers see no log."""

import re

_MOST_CHARACTERS = 300
_PATH = re.compile(r"(?:[\w.-]*/){2,}[\w.-]+|(?<![\w.-])/[\w.-]+")  # two slashes: a ratio or a unit has one
_NAMED = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*(?:Error|Exception)\b")


def reason_of(error: BaseException) -> str:
    """Type and message of an error: one line of at most 300 printable characters, without paths of the file system.

    TorchScript puts its stack before what was raised, which begins at the last line that names an error.
    """
    if isinstance(error, OSError) and error.strerror:  # its text has the path, whose folders may have any name
        return f"{type(error).__name__}: {error.strerror}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Traceback" in str(error):
        lines = lines[max((place for place, line in enumerate(lines) if _NAMED.match(line)), default=-1) :]
    message = _PATH.sub("(path)", " ".join(lines).removeprefix("builtins."))
    message = "".join(letter if letter.isprintable() else "?" for letter in message)
    if not _NAMED.match(message):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return message if len(message) <= _MOST_CHARACTERS else message[: _MOST_CHARACTERS - 3] + "..."
