"""What Watchbridge remembers: one schema on SQLite, PostgreSQL, MySQL and MariaDB.

`store` opens it, `tables` describes it, `migrations` bring an older one up to date, `backup` carries it from one
engine to another. Every noun has its own module of queries. Importing this package alone imports no database code,
because the configuration reads `options` before anything is opened.
"""
