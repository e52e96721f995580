"""The page: static files, and how they are named and served."""
