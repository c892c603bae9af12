"""SQLite: ``NNNN_name.sql`` are migrations, ``queries.sql`` holds every query by name."""
