"""What pages show, kept up to date: one reader for each signed-in user."""
