"""Rules without I/O: entities, limits, names, filters, page tokens and errors. Standard library only."""
