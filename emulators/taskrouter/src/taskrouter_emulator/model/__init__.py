"""Records and pure rules: no HTTP, and no time but the clock that is passed in."""
