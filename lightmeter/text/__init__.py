"""Text of others: documents, names, and cells of spreadsheets."""
