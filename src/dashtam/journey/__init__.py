"""The 18-step journey through the service, for any environment: `await play(client, mailbox)`.

It speaks HTTP only and imports nothing of the service, so that what it proves is what a client would meet.
Reports are in `report` (JSON, JUnit), `page` (HTML) and `checklist` (the terminal, the only user of Rich).
"""

from __future__ import annotations

from dashtam.journey.expect import Mismatch
from dashtam.journey.mailbox import HttpMailbox, Mail, Mailbox, MailboxError
from dashtam.journey.result import CleanedUp, Event, Failure, Result, StepEnded, StepOutcome, StepStarted
from dashtam.journey.runner import DEFAULT_DOMAIN, DEFAULT_PATIENCE, play
from dashtam.journey.step import Step
from dashtam.journey.steps import STEPS

__all__ = [
    "DEFAULT_DOMAIN",
    "DEFAULT_PATIENCE",
    "STEPS",
    "CleanedUp",
    "Event",
    "Failure",
    "HttpMailbox",
    "Mail",
    "Mailbox",
    "MailboxError",
    "Mismatch",
    "Result",
    "Step",
    "StepEnded",
    "StepOutcome",
    "StepStarted",
    "play",
]
