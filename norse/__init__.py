"""norse."""
