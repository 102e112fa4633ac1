"""Runnel: a lightweight tracking server that speaks the MLflow REST API."""

__version__ = "0.1.0"
