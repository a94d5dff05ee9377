"""The browser: look through the photographs of a catalogue, and label them."""
