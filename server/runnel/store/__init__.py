"""SQL: the schema, the database engines, and one module of statements and functions per entity."""
