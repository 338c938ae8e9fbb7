"""Quality reports: their values, and how they read as text, CSV, JSON and HTML."""
