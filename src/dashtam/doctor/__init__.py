"""The doctor: what is right and wrong with a deployment, each with evidence and a remedy.

`LOCAL` and `REMOTE` are its tables of contents, in the order of the report. A check stands below those that it needs.
"""

from dashtam.doctor.check import Check
from dashtam.doctor.inside import (
    access,
    clocks,
    connections,
    database,
    files,
    guards,
    hash_cost,
    keys,
    machine,
    mail,
    nodes,
    proxies,
    schema,
    secret_values,
    settings,
    upkeep,
)
from dashtam.doctor.local import Local
from dashtam.doctor.outside import answers, api, proxy, surface, tls
from dashtam.doctor.remote import Remote

LOCAL: tuple[Check[Local], ...] = (
    *settings.CHECKS,
    *secret_values.CHECKS,
    *guards.CHECKS,
    *files.CHECKS,
    *machine.CHECKS,
    *hash_cost.CHECKS,
    *database.CHECKS,
    *access.CHECKS,
    *schema.CHECKS,
    *connections.CHECKS,
    *clocks.CHECKS,
    *nodes.CHECKS,
    *keys.CHECKS,
    *upkeep.CHECKS,
    *mail.CHECKS,
    *proxies.CHECKS,
)
REMOTE: tuple[Check[Remote], ...] = (
    *answers.CHECKS,
    *tls.CHECKS,
    *api.CHECKS,
    *proxy.CHECKS,
    *surface.CHECKS,
)
