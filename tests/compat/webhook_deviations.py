"""What Runnel answers otherwise on purpose about webhooks."""

from tests.compat.field_policy import REFUSED, Deviation

WEBHOOK_DEVIATIONS: list[Deviation] = [
    Deviation(
        "Without a key secrets cannot be kept; MLflow makes one up, and cannot read them after its next start.",
        (*REFUSED, "webhook.*"),
        ("create webhook: a secret",),
        400,
    ),
    Deviation(
        "A value of an enum that does not exist is refused; MLflow takes it for absent.",
        (*REFUSED, "webhook.*"),
        ("create webhook: an unknown status",),
        400,
    ),
    Deviation(
        "A wrong request is never a 500, which clients repeat for minutes.",
        ("status", "content-type", "text", "error_code", "message"),
        ("create webhook: an event without an entity", "create webhook: an event of an unknown entity"),
        400,
    ),
    Deviation(
        "An event that is named twice is one event; MLflow shows its SQL.",
        (*REFUSED, "webhook.*"),
        ("create webhook: an event twice",),
        200,
    ),
    Deviation(
        "A URL to which no request could ever be sent is refused when it is given, not when something happens.",
        (*REFUSED, "webhook.*"),
        ("create webhook: the URL https://1.1.1.1:99999/", "create webhook: the URL https://1.1.1.1/a b"),
        400,
    ),
    Deviation(
        "An address of many machines is not one of the public Internet.",
        (*REFUSED, "webhook.*"),
        ("create webhook: the URL https://224.0.0.1/",),
        400,
    ),
]
