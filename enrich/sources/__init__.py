"""Sources: the systems that customers come from, as the sources file declares them, and their connectors."""
