"""Read-only pages for the browser: documents with links, made from the store, that work without JavaScript.

A page is a function in a module of its own, a template, and a line in ``routes.py``. Its twin in ``.json`` and the
``.csv`` of each of its tables follow from what the function returns.
"""
