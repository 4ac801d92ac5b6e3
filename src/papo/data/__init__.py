"""Questions about images, and where they come from."""
