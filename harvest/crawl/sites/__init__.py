"""Web sites: their rules, access to private ones, and their pages."""
