"""SQLAlchemy beneath the store: tables, columns, transactions."""
