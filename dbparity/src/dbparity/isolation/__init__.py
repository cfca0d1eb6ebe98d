"""Ways to keep tests from seeing each other's rows: savepoint, delete, clone."""
