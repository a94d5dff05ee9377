"""Alembic migrations of the catalogue; they travel in the wheel."""
