"""What each command does: from parsed words to an exit code. What a command needs is imported by it alone."""
