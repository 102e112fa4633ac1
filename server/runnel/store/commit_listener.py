"""Who hears of what commands did, once it is committed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from runnel.domain.webhook_notices import WebhookNotice
from runnel.store.statements import Transaction

logger = logging.getLogger("runnel.store")

Listen = Callable[[Sequence[WebhookNotice]], None]


class CommitListener:
    """Hands on what the commands of a transaction gathered by ``Transaction.after_commit``."""

    def __init__(self) -> None:
        self.listen: Listen | None = None

    def committed(self, transaction: Transaction) -> None:
        """Tells of a transaction that has been committed. Whatever the listener does, its clients get their answer."""
        notices = transaction.take_notices()
        if notices and self.listen is not None:
            try:
                self.listen(notices)
            except Exception:
                logger.exception("What was committed could not be told")
