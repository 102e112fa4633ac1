"""Tracking servers side by side: the same loops against each of them, in one session, on one machine.

Standard library only; `python benchmarks/run.py` is the way in.
"""
