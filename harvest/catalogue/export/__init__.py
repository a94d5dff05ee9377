"""Tables of the photographs of a catalogue, for programs and for people."""
