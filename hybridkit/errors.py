"""What is meant for the reader: a sentence that says what is wrong and how to mend it, or what was left out."""


class KitWarning(UserWarning):
    """Something that was left out, told in one sentence; the command line prints it as a note."""


class KitError(Exception):
    """A fault in what the user gave (parameters, data, model, folder), told in one clear sentence.

    The message names the value that was read, what was expected and how to mend it.
    The command line prints it without a traceback and exits with status 1.
    """


def in_a_line(fault: Exception) -> str:
    """A fault in one line: a KitError's own sentence, else its type and first line."""
    first = (str(fault).splitlines() or [""])[0]
    return str(fault) if isinstance(fault, KitError) else f"{type(fault).__name__}: {first}"
