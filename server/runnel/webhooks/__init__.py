"""Telling receivers of webhooks what has happened, over HTTP."""
