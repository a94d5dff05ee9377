"""Decide what each photograph is an example of; the result is a data set folder."""
