"""Asking for the password again before an account's own affairs are changed (ASVS 7.5.1).

Counted and throttled like a login, so that a stolen session cannot be used to guess.
"""

from datetime import datetime

from dashtam.core import audit, limits, problems, users
from dashtam.core.service import Service
from dashtam.core.sessions import Current
from dashtam.core.tables import User


async def confirm_password(
    service: Service, current: Current, password: str, client: audit.Client, now: datetime
) -> User:
    """The account of this session, if the password is its own; else raises the problem, having counted the try.

    What follows must be conditional on the `credential_version` that the account has here.
    """
    async with service.database.read() as db:
        user = await users.get(db, current.user_id)
    if user is None or not user.is_active:
        raise problems.SESSION_INVALID()
    email = user.email_canonical
    async with service.database.write() as db:
        exceeded = await limits.count_password(service.throttle, db, service.settings, email, client, now)
    exceeded.pop(limits.ACCOUNT_TOTAL, None)  # strangers may have used that up; who asks here is logged in
    if exceeded:
        raise problems.retry_after(problems.TOO_MANY_REQUESTS, max(exceeded.values()))
    matched = await service.passwords.verify(password, user.password_hash)
    async with service.database.write() as db:
        if matched is not None:
            await limits.forgive(service.throttle, db, service.settings, email, client)
            return user
        audit.record(
            db, "password-refused", client, now, user_id=current.user_id, session_id=current.session_id
        )
    raise problems.WRONG_PASSWORD()
