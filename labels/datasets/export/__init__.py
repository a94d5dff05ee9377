"""Packing a data set with its pictures, for other programs and other people."""
