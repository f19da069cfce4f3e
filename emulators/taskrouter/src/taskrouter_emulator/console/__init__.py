"""The page at `/`: its views, the snapshot that it shows, and the sample tasks behind its buttons."""
