"""Lightmeter reads how a photograph was made.

This is the ground floor: settings, console, errors, plugin registry and the root command. The floors above it
(``harvest``, ``labels``, ``models``, ``serve``) import it; it imports none of them and finds what they add through
entry points.
"""

__version__ = "0.1.0"
