"""Requests about webhooks, in the order in which they are sent.

No request may leave this machine: webhooks are disabled, or wait for an event that does not happen; none is tested.
"""

from typing import Any

from tests.compat.exchange import Ask

PATH = "webhooks"
CREATED = {"entity": "REGISTERED_MODEL", "action": "CREATED"}
BUDGET = {"entity": "BUDGET_POLICY", "action": "EXCEEDED"}
PUBLIC = "https://1.1.1.1/hook"


def _create(what: str, keep: str = "", **fields: Any) -> Ask:
    body = {"name": "hook", "url": PUBLIC, "events": [CREATED], "status": "DISABLED"} | fields
    body = {name: value for name, value in body.items() if value is not None}
    kept = {keep: "webhook.webhook_id"} if keep else {}
    return Ask(f"create webhook: {what}", "POST", PATH, body, keep=kept)


def _update(what: str, webhook: str = "$hook", **fields: Any) -> Ask:
    return Ask(f"update webhook: {what}", "PATCH", f"{PATH}/{webhook}", fields)


def _list(what: str, **query: Any) -> Ask:
    return Ask(f"list webhooks: {what}", "GET", PATH, query=query)


NAMES = ("a", "0", "a" * 63, "A-b_c.d", "a" * 64, "-a", "a-", "a b", "a/b", "\u00e4", "a\n")
URLS = (
    "HTTPS://1.1.1.1/",
    "https://1.1.1.1:8443/a?b=c#d",
    "https://user:password@1.1.1.1/",
    "https://[2606:4700::1111]/",
    "https://[64:ff9b::1.1.1.1]/",
    "   ",
    "http://1.1.1.1/",
    "ftp://1.1.1.1/",
    "file:///etc/passwd",
    "1.1.1.1/hook",
    "https://",
    "https:///hook",
    "https://[::1/",
    "https://127.0.0.1/",
    "https://localhost/",
    "https://2130706433/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data",
    "https://[::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[fd00::1]/",
    "https://224.0.0.1/",
    "https://1.1.1.1:99999/",
    "https://1.1.1.1/a b",
)

WEBHOOKS = [
    _list("none"),
    _create("a name, a URL, an event", "hook"),
    _create("a description", description="d"),
    _create("an empty description", description=""),
    _create("active", status=None, events=[BUDGET], keep="budget"),
    _create("enums as numbers", events=[{"entity": 9, "action": 3}], status=2),
    _create("several events", events=[{"entity": "PROMPT_TAG", "action": "SET"}, CREATED]),
    _list("two of them", max_results=2),
    _list("no more than 0", max_results=0),
    _list("no more than -1", max_results=-1),
    _list("no more than 1001", max_results=1001),
    _list("no more than x", max_results="x"),
    _create("an event twice", events=[BUDGET, BUDGET]),
    _create("no name", name=None),
    _create("an empty name", name=""),
    _create("a name that is a number", name=5),
    _create("no URL", url=None),
    _create("an empty URL", url=""),
    _create("no events", events=None),
    _create("an empty list of events", events=[]),
    _create("an event without an entity", events=[{"action": "CREATED"}]),
    _create("an event of an unknown entity", events=[{"entity": "RUN", "action": "CREATED"}]),
    _create("an action that the entity does not have", events=[{"entity": "REGISTERED_MODEL", "action": "UPDATED"}]),
    _create("another such action", events=[{"entity": "MODEL_VERSION_TAG", "action": "CREATED"}]),
    _create("an unknown status", status="ASLEEP"),
    _create("a secret", secret="s"),
    *[_create(f"the name {name!r}", name=name) for name in NAMES],
    *[_create(f"the URL {url}", url=url) for url in URLS],
    Ask("get webhook", "GET", f"{PATH}/$hook"),
    Ask("get webhook that is not there", "GET", f"{PATH}/nope"),
    _update("nothing"),
    _update("everything", name="other", description="e", url="https://8.8.8.8/", status="ACTIVE", events=[BUDGET]),
    _update("an empty description", description=""),
    _update("empty texts", name="", url="", events=[]),
    _update("a bad name", name="-"),
    _update("a bad URL", url="http://1.1.1.1/"),
    _update("a bad event", events=[{"entity": "PROMPT", "action": "SET"}]),
    _update("one that is not there", "nope", name="other"),
    Ask("get webhook after its changes", "GET", f"{PATH}/$hook"),
    Ask("test webhook that is not there", "POST", f"{PATH}/nope/test", {}),
    Ask("delete webhook", "DELETE", f"{PATH}/$hook"),
    Ask("delete webhook again", "DELETE", f"{PATH}/$hook"),
    Ask("get deleted webhook", "GET", f"{PATH}/$hook"),
    Ask("update deleted webhook", "PATCH", f"{PATH}/$hook", {"name": "other"}),
    Ask("delete active webhook", "DELETE", f"{PATH}/$budget"),
]
