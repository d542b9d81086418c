"""The wire between a client and a worker: one JSON object a line, over a Unix socket in the run folder.

    {"command": "set", "arguments": {"edits": ["optimizer.lr=0.01"]}, "given_by": "shell"}   one line to the worker
    {"run": …, "command": "set", "step": 702, "ok": true, …}       one line back, once it has taken effect

The server runs in a thread of its own and only fills a queue. The training loop empties the queue between two steps.
So a slow, silent or hostile client does not slow the training.
"""

from descent.control.client import ask, send
from descent.control.protocol import (
    COMMANDS,
    GIVERS,
    LONGEST_LINE,
    Answer,
    Giver,
    NotRunningError,
    RefusedError,
)
from descent.control.server import MOST_CLIENTS, Queue, Request, Server

__all__ = ["COMMANDS", "GIVERS", "LONGEST_LINE", "MOST_CLIENTS", "Answer", "Giver", "NotRunningError", "Queue",
           "RefusedError", "Request", "Server", "ask", "send"]  # fmt: skip
