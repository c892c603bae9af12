"""SQL by dialect: numbered migrations and named queries. Data files only."""
