"""Find photographs, fetch them byte for byte, look at them; the result is the catalogue and the photo store."""
