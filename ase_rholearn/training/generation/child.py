"""The process that a structure is computed in: ``python -m`` this module.

It reads pickled calls from standard input, answers on standard output, and ends as soon as
whoever started it is gone. A crash, or a kill because of a time-out, takes nothing with it.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from typing import IO, Any


def main() -> None:
    """Serve calls until standard input is closed."""
    calls = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    # whatever a library prints must not get into the answers
    os.dup2(2, 1)
    sys.path[:] = pickle.load(calls)
    received: queue.Queue[tuple[bool, Any]] = queue.Queue()
    threading.Thread(target=_receive, args=(calls, received), daemon=True).start()
    while True:
        answer = _answer(*received.get())
        try:
            answers.write(answer)
            answers.flush()
        except BrokenPipeError:
            os._exit(1)


def _receive(calls: IO[bytes], received: queue.Queue[tuple[bool, Any]]) -> None:
    """Hand on each call; when nobody is left to call, end at once, whatever is running."""
    while True:
        try:
            received.put((True, pickle.load(calls)))
        except EOFError:
            os._exit(0)
        except Exception as error:  # a class that cannot be imported here, say
            received.put((False, error))


def _answer(understood: bool, call: Any) -> bytes:
    """Pickled (True, result), or (False, reason)."""
    try:
        if not understood:
            raise call
        function, arguments = call
        return pickle.dumps((True, function(*arguments)))
    except Exception as error:
        return pickle.dumps((False, f"{type(error).__name__}: {error}"))


if __name__ == "__main__":
    main()
