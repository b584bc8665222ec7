"""Where vendors push to us: one HTTP listener, whose paths the connectors claim."""
