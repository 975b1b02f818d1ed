"""Training adapters: the layer, where it goes (`targets`, `adapt`), and its files."""
