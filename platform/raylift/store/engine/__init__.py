"""SQLAlchemy engine of the store: tables, column types, transactions."""
