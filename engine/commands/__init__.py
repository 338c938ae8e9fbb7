"""The headless commands; each imports what it needs when it runs."""
