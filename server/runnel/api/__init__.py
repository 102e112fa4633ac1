"""The MLflow REST API: the table of routes, how requests are dispatched, and one module of endpoints per entity."""
