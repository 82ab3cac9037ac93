"""Messages to people through Apprise (the extra ``notifications``): Slack, Teams, e-mail.

Apprise's plugins make requests of their own, which the checks of ``http_sender`` do not see. So only admins may give such an
address, and only services of a list are taken.
"""

from __future__ import annotations

from typing import Any

from raylift.domain.webhooks.delivery import Answer, Delivery
from raylift.engines.webhooks.messages import text_of

MISSING = 'Apprise is not installed where the supervisor runs: pip install "raylift[notifications]"'


def send(url: str, delivery: Delivery) -> Answer:
    """Send the event as a message. Apprise says only whether it was taken."""
    try:
        import apprise
    except ImportError:
        return Answer(error=MISSING)
    # No files of plugins, and addresses without their secrets in logs.
    asset: Any = apprise.AppriseAsset(async_mode=False, secure_logging=True, plugin_paths=[])
    sender: Any = apprise.Apprise(asset=asset)
    if not sender.add(url):
        return Answer(error="Apprise does not understand the address.")
    title, text = text_of(delivery)
    if sender.notify(title=title, body=text):
        return Answer()
    return Answer(error="The service did not take the message, or did not answer.")
