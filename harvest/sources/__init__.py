"""Sources of photographs, one module each, and the contract for sources of other packages."""
