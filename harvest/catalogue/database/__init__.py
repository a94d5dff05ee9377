"""The database of the catalogue: transactions, migrations, and sentences for its errors."""
