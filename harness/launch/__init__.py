"""One job in one process: started, watched, and given exactly one state."""
