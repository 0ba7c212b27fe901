"""The way from any older schema to the one of `exporter.store.tables`, forward only.

A revision is one file in `versions`, named by its number. MySQL and MariaDB commit at each statement that changes
the schema, so a revision holds one such statement and can be run again after it was cut short.
"""
