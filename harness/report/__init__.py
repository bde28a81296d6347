"""The records of a run as a document: terminal, Markdown, JSON, CSV and one HTML page."""
